package differential

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// relation says whether what RabbitMQ shows is what memory has shown. All that
// may differ is in this file; [plan.refuses] has what is not compared at all.
type relation struct{ *plan }

// differ returns what differs after a step, "" where nothing does.
func (r *relation) differ(want, got observation) string {
	switch {
	case want.Result != got.Result:
		return "the results"
	case !r.sameCount(want.Count, got.Count):
		return "the counts"
	case !r.sameDepths(want.Depths, got.Depths):
		return "the queues"
	}
	for _, queue := range queuesOf(want.Seen, got.Seen) {
		if !r.sameSeen(queue, from(want.Seen, queue), from(got.Seen, queue)) {
			return "the deliveries from " + queue
		}
	}
	return ""
}

// sameCount allows RabbitMQ to count more, as many as may have expired: it
// drops a message when it comes to the head of its queue, and one that was
// delayed only when it is about to be handed out. Memory drops it in time.
func (r *relation) sameCount(want, got int) bool {
	return want <= got && got <= want+r.aging
}

// untilExpired is how long it may take until what RabbitMQ counts more has
// expired, where that is for the queue to say: a consumer would get it before.
// What has a TTL of its own is waited for when it is published.
func (r *relation) untilExpired(want, got observation) time.Duration {
	var longest time.Duration
	for queue, g := range got.Depths {
		if ttl := r.specs[queue].TTL; ttl > 0 && g.Ready > want.Depths[queue].Ready {
			longest = max(longest, ttl+margin)
		}
	}
	return longest
}

func (r *relation) sameDepths(want, got map[string]depth) bool {
	for queue, w := range want {
		g, there := got[queue]
		if !there || !r.sameConsumers(queue, w.Consumers, g.Consumers) || !r.sameCount(w.Ready, g.Ready) {
			return false
		}
	}
	return len(want) == len(got)
}

// sameConsumers allows quorum queues to count who holds a message that was got
// as a consumer, and not to count those that stand by.
func (r *relation) sameConsumers(queue string, want, got int) bool {
	if !r.quorum {
		return want == got
	}
	if r.specs[queue].SingleActive {
		want = min(want, 1)
	}
	return want <= got && got <= want+r.held(queue)
}

// sameSeen compares the deliveries from one queue. All that a message went
// through is compared in order. Between messages, the order is
//   - that of all deliveries, where one consumer takes one message at a time,
//     and none comes back after a wait;
//   - that of their first deliveries, where one handler runs at a time: what
//     comes back meets what is on its way to the consumer, where it may be
//     faster or slower;
//   - not compared, where several handlers run at once, in quorum queues to
//     which something came back (see [plan.mix]), and for dead letters of
//     consumers that hold several messages: RabbitMQ stores them all at once,
//     because each waits for its confirm.
func (r *relation) sameSeen(queue string, want, got []delivery) bool {
	if len(want) != len(got) {
		return false
	}
	if !r.sameStories(queue, want, got) {
		return false
	}
	switch subs := r.on(queue); {
	case r.competing(subs) || r.mixed[queue] || !r.style.orderly && isDead(queue, r.style):
		return true
	case oneByOne(subs) && !waits(want):
		return sameOrder(want, got)
	default:
		return sameOrder(firsts(want), firsts(got))
	}
}

func isDead(queue string, st style) bool {
	return strings.HasSuffix(queue, deadSuffix) || st.dead[queue]
}

// competing says whether it is chance which handler gets a message: on
// RabbitMQ whose turn it is depends on what was before.
func (r *relation) competing(subs []subscribe) bool {
	several := slices.ContainsFunc(subs, func(s subscribe) bool { return s.Concurrency > 1 })
	return several || len(subs) > 1 && !r.specs[subs[0].queue()].SingleActive
}

// oneByOne says whether a message comes only when the one before is settled.
func oneByOne(subs []subscribe) bool {
	return len(subs) > 0 && !slices.ContainsFunc(subs, func(s subscribe) bool { return s.Prefetch != 1 })
}

// waits says whether a message comes back on its own time.
func waits(seen []delivery) bool {
	return slices.ContainsFunc(seen, func(d delivery) bool {
		_, script, _ := strings.Cut(d.ID, " ")
		return message{Script: script}.returns()
	})
}

func sameOrder(want, got []delivery) bool {
	return slices.EqualFunc(want, got, func(w, g delivery) bool { return w.ID == g.ID && w.Nth == g.Nth })
}

// firsts are the first deliveries of messages.
func firsts(seen []delivery) []delivery {
	return slices.DeleteFunc(slices.Clone(seen), func(d delivery) bool { return d.Nth > 0 })
}

// sameStories compares message by message.
func (r *relation) sameStories(queue string, want, got []delivery) bool {
	byMessage := func(a, b delivery) int { return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Nth, b.Nth)) }
	want, got = slices.Clone(want), slices.Clone(got)
	slices.SortStableFunc(want, byMessage)
	slices.SortStableFunc(got, byMessage)
	compete := r.competing(r.on(queue))
	return slices.EqualFunc(want, got, func(w, g delivery) bool {
		if compete {
			g.To = w.To
		}
		if r.marked(queue) && g.Redelivered {
			w.Redelivered = true
		}
		return w == g
	})
}

// marked says whether RabbitMQ may mark a message as redelivered that no
// handler has seen: it marks what a consumer has held, and that gave back when
// it ended.
func (r *relation) marked(queue string) bool { return r.cut[queue] }

func queuesOf(lists ...[]delivery) []string {
	set := map[string]bool{}
	for _, seen := range lists {
		for _, d := range seen {
			set[d.Queue] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

func from(seen []delivery, queue string) []delivery {
	return slices.DeleteFunc(slices.Clone(seen), func(d delivery) bool { return d.Queue != queue })
}

func keys(m map[string]depth) []string { return slices.Sorted(maps.Keys(m)) }

// refuses says why a step is not part of a program, "" where it is: because
// there is nothing that it could do, or because RabbitMQ itself would not do
// the same each time.
func (p *plan) refuses(s step) string {
	switch s := s.(type) {
	case declare:
		return p.refusesDeclare(s)
	case publish:
		return p.refusesPublish(s)
	case subscribe:
		return p.refusesSubscribe(s)
	case release:
		return unless(p.runs(s.Slot), "no such subscription")
	case cancel:
		return cmp.Or(
			unless(p.runs(s.Slot), "no such subscription"),
			unless(!p.quorum || !p.style.holds || len(p.on(p.subs[s.Slot].queue())) == 1, "what the others get next depends on the order of what it gives back"),
		)
	case get:
		_, taken := p.gets[s.Slot]
		return cmp.Or(
			unless(!taken, "the slot is taken"),
			unless(!p.specs[s.From].AutoDelete, "its queue may be deleted meanwhile: see refusesRemove"),
			p.refusesFirst(s.From),
		)
	case settle:
		return p.refusesSettle(s)
	case elapse:
		return unless(len(p.late) > 0, "nothing is late")
	case remove:
		return p.refusesRemove(s)
	case redrive:
		return cmp.Or(
			unless(len(p.subs) == 0, "what fails again while it runs may be moved again"),
			p.refusesFirst(s.From),
		)
	}
	return ""
}

func unless(ok bool, why string) string {
	if ok {
		return ""
	}
	return why
}

func (p *plan) runs(slot int) bool { _, ok := p.subs[slot]; return ok }

// refusesDead keeps off the dead letters where their order is chance.
func (p *plan) refusesDead(queue string) string {
	return unless(p.style.orderly || !isDead(queue, p.style), "which dead letter comes first is chance")
}

// refusesFirst keeps off the first message of a queue where it is chance, or a
// known difference, which one that is.
func (p *plan) refusesFirst(queue string) string {
	return cmp.Or(
		unless(!p.quorum || p.specs[queue].Max == 0, "what comes back to a quorum queue is its youngest"),
		unless(!p.quorum || !p.specs[queue].SingleActive, "RabbitMQ refuses to get from a quorum queue with SingleActive"),
		p.refusesDead(queue), unless(!p.mixed[queue], "quorum queues put at the end what comes back"))
}

func (p *plan) refusesDeclare(s declare) string {
	rejects := s.Max > 0 && !s.DropOldest
	classic := !p.quorum || s.Exclusive || s.AutoDelete
	return cmp.Or(
		unless(!rejects || classic, "a quorum queue takes some more before it refuses, and refuses for a while after; TestDifferentialQuorumLimit has it"),
		unless(s.Max == 0 && s.TTL == 0 || !isDead(s.Queue, p.style), "RabbitMQ waits for room in a full dead-letter queue, memory for a second"),
		unless(s.Max == 0 || !p.quorum || !p.style.holds && len(p.gets) == 0, "which is the oldest depends on the order"),
		unless(s.TTL == 0 || !p.style.holds, "how long a held message has waited is chance"),
		unless(!s.AutoDelete || !p.style.holds, "whether a held message is settled before its queue goes is chance"),
	)
}

func (p *plan) refusesPublish(s publish) string {
	if len(s.Msgs) == 0 {
		return "nothing to publish"
	}
	for _, spec := range p.targets(s.To) {
		rejects := spec.Max > 0 && !spec.DropOldest
		if rejects && strings.HasPrefix(s.To, topicPrefix) {
			return "where one queue of a topic refuses, RabbitMQ's adapter sends again, and the others get it several times"
		}
		for _, m := range s.Msgs {
			if why := p.refusesMessage(spec, m); why != "" {
				return why
			}
		}
	}
	return ""
}

func (p *plan) refusesMessage(spec declare, m message) string {
	rejects := spec.Max > 0 && !spec.DropOldest
	again := m.returns()
	return cmp.Or(
		unless(!m.Late || !spec.AutoDelete, "its queue may be deleted meanwhile: see refusesRemove"),
		unless(!rejects || m.Delay == 0 && !m.Late && !again, "where a full queue refuses what comes back, RabbitMQ tries until there is room, and memory takes it"),
		unless(m.TTL == 0 || spec.Max == 0, "RabbitMQ counts what has expired, and memory does not"),
		unless(m.TTL == 0 || !p.style.holds, "memory drops what expires in a prefetch, RabbitMQ does not"),
		unless(m.TTL == 0 || !again, "a retry waits for 100 ms at least on RabbitMQ"),
		unless(!p.quorum || spec.Max == 0 || !strings.Contains(m.Script, "q"), "which is the oldest depends on the order"),
		unless(!again || strings.LastIndex(m.Script, "H") < strings.IndexAny(m.Script, "ewWzp"), "which of those that come back is held first is chance"),
		unless(!p.style.holds || !strings.ContainsAny(m.Script, "qz"), "whether what comes back at once is before or behind what is held is chance"),
	)
}

// refusesRemove keeps queues with properties of their own that are subscribed
// to: memory's subscriptions declare them again as they were, those on RabbitMQ
// with the zero QueueSpec. And those of which a message is held by a Get:
// memory says that it cannot be settled any more, RabbitMQ does not.
func (p *plan) refusesRemove(s remove) string {
	if p.held(s.What) > 0 {
		return "RabbitMQ takes it for settled"
	}
	if p.late[s.What] {
		return "what waits is gone with it on memory, and comes on RabbitMQ if something delayed is sent to another of that name"
	}
	return unless(len(p.on(s.What)) == 0 || p.specs[s.What] == declare{Queue: s.What}, "it comes back with other properties")
}

func (p *plan) refusesSettle(s settle) string {
	held, there := p.gets[s.Slot]
	spec := p.specs[held.From]
	return cmp.Or(
		unless(there, "nothing was got"),
		unless(spec.Max == 0 || spec.DropOldest || !strings.ContainsAny(s.Verdict, "ewz"), "where a full queue refuses what comes back, RabbitMQ tries until there is room, and memory takes it"),
	)
}

func (p *plan) refusesSubscribe(s subscribe) string {
	spec, others := p.specs[s.queue()], p.on(s.queue())
	alike := func(o subscribe) bool {
		o.Slot, o.Accept = s.Slot, s.Accept
		return fmt.Sprint(o) == fmt.Sprint(s)
	}
	return cmp.Or(
		unless(!p.runs(s.Slot), "the slot is taken"),
		p.refusesDeadSubscribe(s),
		unless(!p.style.holds || !p.mixed[s.queue()], "what is held and what is stuck behind it depends on the order"),
		unless(len(others) == 0 || spec.SingleActive || alike(others[0]), "who gets what is chance, and they would do different things with it"),
		unless(len(others) == 0 || spec.SingleActive || !p.style.holds || s.Prefetch == 1 && !s.AutoAck, "what is stuck behind a held message is chance"),
		unless(spec.Max == 0 || s.Prefetch == 0, "what is in the queue while messages come and go is chance"),
		unless(s.Dead == "" || p.specs[s.Dead].Max == 0 && s.Dead != s.queue(), "a bounded dead-letter queue; or its own"),
	)
}

func (p *plan) refusesDeadSubscribe(s subscribe) string {
	if s.Accept {
		return ""
	}
	return p.refusesDead(s.queue())
}

// trim takes out of a publish step the messages that are not part of programs.
func (p *plan) trim(s step) step {
	pub, isPublish := s.(publish)
	if !isPublish {
		return s
	}
	var kept []message
	for _, m := range pub.Msgs {
		if p.refusesPublish(publish{To: pub.To, Msgs: []message{m}}) == "" {
			kept = append(kept, m)
		}
	}
	pub.Msgs = kept
	return pub
}

// admit leaves out of a program what has no one answer.
func admit(p program, quorum bool) program {
	pl := newPlan(p, quorum)
	var out program
	for _, s := range p {
		if s = pl.trim(s); pl.refuses(s) == "" {
			out = pl.add(out, s)
		}
		if pl.before > mostBefore {
			out = pl.add(out, elapse{})
		}
	}
	if len(pl.late) > 0 {
		out = pl.add(out, elapse{})
	}
	return out
}

// mostBefore is how many steps there are at most between a publish with late
// messages and the elapse: time does not wait for them.
const mostBefore = 2

func (p *plan) add(to program, s step) program {
	p.begin(s)
	p.end(s)
	if len(p.late) > 0 {
		p.before++
	}
	return append(to, s)
}
