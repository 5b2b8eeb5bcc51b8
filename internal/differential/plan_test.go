package differential

import (
	"maps"
	"slices"
	"strings"
)

// plan is what is known of a program's state without running it.
type plan struct {
	quorum bool
	specs  map[string]declare // of queues that were declared by a step
	subs   map[int]subscribe  // that run
	gets   map[int]get        // that are not settled
	style  style              // of the whole program
	cut    map[string]bool    // queues whose messages may have been held and given back
	mixed  map[string]bool    // queues in which messages are not in their places any more
	aging  int                // messages so far that expire in their queues
	late   map[string]bool    // addresses to which late messages are on their way
	before int                // steps since the first of them
}

// style is what holds for a program as a whole.
type style struct {
	holds   bool            // some handlers are held back
	orderly bool            // all consumers take one message at a time, none competes, and nothing comes back later
	dead    map[string]bool // queues that get dead letters by name
}

func newPlan(p program, quorum bool) *plan {
	return &plan{
		quorum: quorum,
		specs:  map[string]declare{},
		subs:   map[int]subscribe{},
		gets:   map[int]get{},
		cut:    map[string]bool{},
		mixed:  map[string]bool{},
		late:   map[string]bool{},
		style:  styleOf(p),
	}
}

func styleOf(p program) style {
	st := style{orderly: true, dead: map[string]bool{}}
	from := map[string]int{}
	for _, s := range p {
		switch s := s.(type) {
		case publish:
			for _, m := range s.Msgs {
				st.holds = st.holds || strings.Contains(m.Script, "H")
				st.orderly = st.orderly && !m.returns()
			}
		case subscribe:
			if s.Accept {
				continue
			}
			st.dead[s.Dead] = true
			if slot, taken := from[s.queue()]; taken && slot != s.Slot || s.Prefetch != 1 {
				st.orderly = false
			}
			from[s.queue()] = s.Slot
		}
	}
	return st
}

// begin notes what a step changes while it is done.
func (p *plan) begin(s step) {
	switch s := s.(type) {
	case subscribe:
		p.subs[s.Slot] = s
		if _, known := p.specs[s.queue()]; !known {
			p.specs[s.queue()] = declare{Queue: s.queue()}
		}
	case cancel:
		queue := p.subs[s.Slot].queue()
		p.cut[queue] = true
		if p.style.holds {
			p.mix(queue)
		}
	case remove:
		p.cut[s.What] = true
	case redrive:
		p.cut[s.From] = true
		p.mix(s.From)
	case get:
		p.gets[s.Slot] = s
	case settle:
		if s.Verdict == "q" {
			p.mix(p.gets[s.Slot].From)
		}
	case publish:
		for _, m := range s.Msgs {
			p.publish(m)
			if m.Late {
				p.late[s.To] = true
			}
		}
	case elapse:
		clear(p.late)
	}
}

func (p *plan) publish(m message) {
	if m.TTL > 0 {
		p.aging++
	}
	if strings.Contains(m.Script, "q") { // wherever it is handled
		for _, queue := range names {
			p.mix(queue)
		}
	}
}

// mix notes that a message comes back to a queue, which on quorum queues is to
// the end: RabbitMQ puts back in its place only where there is a limit to
// deliveries, and warren's queues have none.
func (p *plan) mix(queue string) {
	if p.quorum {
		p.mixed[queue] = true
	}
}

// end notes what a step has changed once it is done.
func (p *plan) end(s step) {
	switch s := s.(type) {
	case declare:
		if _, known := p.specs[s.Queue]; !known {
			p.specs[s.Queue] = s
		}
	case cancel:
		queue := p.subs[s.Slot].queue()
		delete(p.subs, s.Slot)
		if p.specs[queue].AutoDelete && len(p.on(queue)) == 0 {
			delete(p.specs, queue)
		}
	case settle:
		delete(p.gets, s.Slot)
	case elapse:
		p.before = 0
	case remove:
		if len(p.on(s.What)) == 0 {
			delete(p.specs, s.What)
		}
	}
}

// held counts the messages of a queue that were got, at most: there may have
// been none.
func (p *plan) held(queue string) int {
	n := 0
	for _, g := range p.gets {
		if g.From == queue {
			n++
		}
	}
	return n
}

// targets are the queues that a message may get to.
func (p *plan) targets(to string) []declare {
	topic, isTopic := strings.CutPrefix(to, topicPrefix)
	if !isTopic {
		return []declare{p.specs[to]}
	}
	var all []declare
	for name, spec := range p.specs {
		if strings.HasPrefix(name, topic+".") {
			all = append(all, spec)
		}
	}
	return all
}

// on returns the subscriptions to a queue, by slot.
func (p *plan) on(queue string) []subscribe {
	var all []subscribe
	for _, slot := range slices.Sorted(maps.Keys(p.subs)) {
		if s := p.subs[slot]; s.queue() == queue {
			all = append(all, s)
		}
	}
	return all
}
