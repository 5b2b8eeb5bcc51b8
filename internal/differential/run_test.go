package differential

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

// patience is how long RabbitMQ may take to show what memory has shown. Only a
// difference takes that long, and only the first one: shrinking is in a hurry.
const (
	patience = 10 * time.Second
	hurry    = 2 * time.Second
)

// atRest is longer than anything in a program takes on memory's clock.
const atRest = 2 * time.Second

// run is a program on its way through one broker.
type run struct {
	ctx    context.Context
	broker messaging.Broker
	prefix string
	at     int // which step this is
	count  int // what the step counted

	subs  map[int]*subscriber
	order []int // the slots of subs, the last one last
	gets  map[int]*messaging.Pending

	late  time.Duration // the delay of messages that are late
	due   time.Time     // when the first of them comes; zero: none is on its way
	last  string        // for the fence: comes after all of them
	fence *fence

	news chan struct{} // something was seen
	mu   sync.Mutex
	seen []delivery
	nth  map[string]int           // how often a message was handled, by queue and ID
	back map[string]time.Time     // when a message has come back to its queue for certain, by queue and ID
	held map[string]chan struct{} // by queue; closed to let its handlers go on
}

func newRun(ctx context.Context, b messaging.Broker, prefix string, f *fence, late time.Duration) *run {
	return &run{
		ctx: ctx, broker: b, prefix: prefix, fence: f, late: late,
		subs: map[int]*subscriber{},
		gets: map[int]*messaging.Pending{},
		news: make(chan struct{}, 1),
		nth:  map[string]int{},
		back: map[string]time.Time{},
		held: map[string]chan struct{}{},
	}
}

// lead runs p on memory, where rest is a matter of time, which costs nothing
// in a bubble. It returns p with what ends it: everything is given back, and
// then taken out of the queues.
func (r *run) lead(p program) (program, []observation) {
	var all []observation
	var last observation
	more := func(steps ...step) {
		for _, s := range steps {
			last = r.perform(len(all), s)
			time.Sleep(atRest)
			last.Depths, last.Seen = r.depths(names), r.takeSeen()
			all = append(all, last)
		}
	}
	more(p...)
	ending := r.giveBack()
	more(ending...)
	p = slices.Concat(p, ending)
	for _, queue := range keys(last.Depths) {
		if last.Depths[queue].Ready > 0 {
			p = append(p, drain(queue)...)
			more(drain(queue)...)
		}
	}
	more(survey{})
	return append(p, survey{}), all
}

// giveBack are the steps that end everything that runs, those that stand by
// first.
func (r *run) giveBack() program {
	var p program
	for _, slot := range slices.Sorted(maps.Keys(r.gets)) {
		p = append(p, settle{slot, "q"})
	}
	for _, slot := range slices.Backward(r.order) {
		if r.subs[slot] != nil {
			p = append(p, cancel{slot})
		}
	}
	return append(p, survey{})
}

// lastSlot is that of the subscriptions that empty the queues.
const lastSlot = 9

func drain(queue string) program {
	return program{subscribe{Slot: lastSlot, From: queue, Dead: "none.dead", Accept: true}, cancel{lastSlot}}
}

func (r *run) perform(i int, s step) observation {
	r.at, r.count = i, 0
	return observation{Result: s.do(r), Count: r.count}
}

// isLate notes that a late message is on its way.
func (r *run) isLate() {
	if r.due.IsZero() {
		r.due = time.Now().Add(r.late)
	}
}

// tooSlow says whether what is late may have come before it was its turn.
func (r *run) tooSlow() bool { return !r.due.IsZero() && time.Until(r.due) < margin }

// follow runs p until a step does not show what want has, or has taken too
// long. The last one it returns may be such a step.
func (r *run) follow(p program, rel *relation, want []observation, patience time.Duration) []observation {
	var all []observation
	for i, s := range p {
		rel.begin(s)
		o := r.perform(i, s)
		r.await(&o, rel, want[i], patience)
		r.untilBack()
		pass(rel.untilExpired(want[i], o))
		all = append(all, o)
		if r.tooSlow() || rel.differ(want[i], o) != "" {
			break
		}
		rel.end(s)
	}
	return all
}

// await waits until o shows as many deliveries as want, and the queues as many
// messages. There is no event for the latter: it looks again and again.
func (r *run) await(o *observation, rel *relation, want observation, patience time.Duration) {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	for more := o.Result == want.Result; more; {
		if r.seenSoFar() >= len(want.Seen) {
			if o.Depths = r.depths(keys(want.Depths)); rel.sameDepths(want.Depths, o.Depths) {
				break
			}
		}
		select {
		case <-r.news:
		case <-tick.C:
		case <-limit.C:
			more = false
			o.Depths = r.depths(keys(want.Depths))
		}
	}
	o.Seen = r.takeSeen()
}

func (r *run) depths(queues []string) map[string]depth {
	all := map[string]depth{}
	for _, name := range queues {
		if info, err := r.broker.Inspect(r.ctx, r.queue(name)); err == nil {
			all[name] = depth{info.Ready, info.Consumers}
		}
	}
	return all
}

func (r *run) seenSoFar() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.seen)
}

func (r *run) takeSeen() []delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := r.seen
	r.seen = nil
	return seen
}

// clean ends what still runs, and deletes what the program has made.
func (r *run) clean() {
	for slot := range r.subs {
		cancel{slot}.do(r)
	}
	for slot := range r.gets {
		settle{slot, "."}.do(r)
	}
	for _, name := range topics {
		_ = r.broker.Delete(r.ctx, messaging.Topic(r.prefix+name))
	}
	for _, name := range names {
		_ = r.broker.Delete(r.ctx, r.queue(name))
	}
}

// queue is the address of a queue of the program's.
func (r *run) queue(name string) messaging.Address { return messaging.Queue(r.prefix + name) }

// address is that of a queue or of a topic.
func (r *run) address(name string) messaging.Address {
	if topic, ok := strings.CutPrefix(name, topicPrefix); ok {
		return messaging.Topic(r.prefix + topic)
	}
	return r.queue(name)
}

// optional is the address of a queue, or none.
func (r *run) optional(name string) messaging.Address {
	if name == "" {
		return messaging.Address{}
	}
	return r.queue(name)
}

// subscriber is a subscription that runs.
type subscriber struct {
	name     string
	queue    string // where its messages wait
	accept   bool
	attempts int // 0: no message comes back
	ready    chan struct{}
	stop     context.CancelFunc
	returned chan struct{} // closed when Subscribe has returned
	err      error         // of Subscribe
}

func (r *run) subscribe(s subscribe, src messaging.Source) string {
	ctx, stop := context.WithCancel(r.ctx)
	sub := &subscriber{
		name: fmt.Sprintf("subscription %d", s.Slot), queue: s.queue(), accept: s.Accept,
		ready: make(chan struct{}, 1), stop: stop, returned: make(chan struct{}),
	}
	if !s.AutoAck {
		sub.attempts = s.Attempts
	}
	r.subs[s.Slot] = sub
	r.order = append(slices.DeleteFunc(r.order, func(slot int) bool { return slot == s.Slot }), s.Slot)
	src.Ready = func() { signal(sub.ready) }
	go func() {
		defer close(sub.returned)
		sub.err = r.broker.Subscribe(ctx, src, r.handler(sub))
	}()
	select {
	case <-sub.ready:
		return "active"
	case <-sub.returned:
		return outcome(sub.err)
	case <-time.After(patience):
		return "neither active nor ended"
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// handler does what the message says.
func (r *run) handler(sub *subscriber) messaging.Handler {
	return func(_ context.Context, d *messaging.Delivery) error {
		letter, held := r.note(sub, d)
		if held != nil {
			<-held
		}
		if d.Attempt < sub.attempts {
			r.comesBack(sub.queue+" "+d.ID, letter)
		}
		if letter == "p" {
			panic("the script says so")
		}
		return verdict(letter)
	}
}

// comesBack notes that a message may come back after a wait.
func (r *run) comesBack(key, letter string) {
	wait := waitOf(letter)
	if wait == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.back[key] = time.Now().Add(wait + margin)
}

// untilBack waits until every message is back that was not seen again: it is
// stuck behind one that is held, or was dropped.
func (r *run) untilBack() {
	r.mu.Lock()
	var last time.Time
	for _, at := range r.back {
		if at.After(last) {
			last = at
		}
	}
	clear(r.back)
	r.mu.Unlock()
	if !last.IsZero() {
		pass(time.Until(last))
		r.fence.await(r.fence.after(shortWait)) // which all ways have in the end
	}
}

// untilOver waits for the end of what has just been published with that TTL, or
// that Delay.
func (r *run) untilOver(ttl, delay time.Duration) {
	if delay > 0 {
		r.fence.await(r.fence.after(delay))
	}
	if ttl > 0 {
		pass(ttl + margin)
	}
}

// note writes down a delivery, and returns what is to be done with it.
func (r *run) note(sub *subscriber, d *messaging.Delivery) (letter string, held chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := sub.queue + " " + d.ID
	nth := r.nth[key]
	r.nth[key]++
	delete(r.back, key)
	r.seen = append(r.seen, delivery{
		To: sub.name, Queue: sub.queue, ID: d.ID, Nth: nth,
		Attempt: d.Attempt, Redelivered: d.Redelivered, Rest: r.rest(d),
	})
	signal(r.news)
	_, script, _ := strings.Cut(d.ID, " ")
	todo := tokens(script)
	if sub.accept || nth >= len(todo) {
		return ".", nil
	}
	letter, hold := strings.CutPrefix(todo[nth], "H")
	if hold {
		held = r.gate(sub.queue)
	}
	return letter, held
}

// gate is what handlers of a queue wait at. It needs r.mu.
func (r *run) gate(queue string) chan struct{} {
	if r.held[queue] == nil {
		r.held[queue] = make(chan struct{})
	}
	return r.held[queue]
}

// takeGate returns what handlers of a queue wait at now, nil where none does.
// Those that start from now on wait at another.
func (r *run) takeGate(queue string) chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	gate := r.held[queue]
	delete(r.held, queue)
	return gate
}

// consumers is 0 for a private queue, which has no name here: what it gives
// back is nobody's.
func (r *run) consumers(queue string) int {
	info, err := r.broker.Inspect(r.ctx, r.queue(queue))
	if err != nil {
		return 0
	}
	return info.Consumers
}

// open lets the handlers of a queue go on that are held back now.
func (r *run) open(queue string) {
	if gate := r.takeGate(queue); gate != nil {
		close(gate)
	}
}

// end stops a subscription. Handlers that are held back go on once it takes
// nothing any more: what it gives back would otherwise be a matter of speed.
// Only they do: whether those that stood by get a message before or after is a
// matter of speed too.
func (r *run) end(sub *subscriber) string {
	before := r.consumers(sub.queue)
	gate := r.takeGate(sub.queue)
	sub.stop()
	if gate != nil {
		r.awaitFewer(sub.queue, before)
		close(gate)
	}
	select {
	case <-sub.returned:
		return outcome(sub.err)
	case <-time.After(patience):
		return "Subscribe does not return"
	}
}

// awaitFewer waits until a queue has fewer consumers than before, for a while:
// it need not show, because those that stand by are not counted everywhere.
func (r *run) awaitFewer(queue string, before int) {
	for range int(margin / time.Millisecond) {
		if r.consumers(queue) < before {
			return
		}
		pass(time.Millisecond)
	}
}

// pass lets time pass, which is what the step is about.
func pass(d time.Duration) { time.Sleep(d) }

// took writes down what a get brought.
func (r *run) took(slot int, p *messaging.Pending) {
	r.gets[slot] = p
	queue := strings.TrimPrefix(p.From.Name(), r.prefix)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, delivery{
		To: "get", Queue: queue, ID: p.ID, Nth: r.nth[queue+" "+p.ID],
		Attempt: p.Attempt, Redelivered: p.Redelivered, Rest: r.rest(&p.Delivery),
	})
}
