package messaging

import (
	"context"
	"sync"
)

// lanes keeps the messages of equal key in order while several workers run:
// while one of a key is handled, the others of that key wait behind it.
type lanes struct {
	fetching chan struct{} // held by the one worker that fetches; a channel, so that waiting for it is idle time in synctest

	mu      sync.Mutex
	waiting map[string][]Job     // by key being handled
	keys    map[*Delivery]string // of what is being handled, and may be settled already
}

func newLanes() *lanes {
	return &lanes{
		fetching: make(chan struct{}, 1),
		waiting:  map[string][]Job{},
		keys:     map[*Delivery]string{},
	}
}

// next fetches until there is a message whose key nobody is handling. Fetching
// and lining up are one step, so that two of a key cannot overtake each other.
// A message that has no key is keyOf's to deal with.
func (l *lanes) next(ctx context.Context, fetch func(context.Context) Job, keyOf func(Job) (key string, ok bool)) Job {
	select {
	case l.fetching <- struct{}{}:
	case <-ctx.Done():
		return nil
	}
	defer func() { <-l.fetching }()
	for {
		job := fetch(ctx)
		if job == nil {
			return nil
		}
		if key, ok := keyOf(job); ok && l.start(job, key) {
			return job
		}
	}
}

// start says whether job may be handled now; otherwise it waits in its lane.
func (l *lanes) start(job Job, key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if behind, busy := l.waiting[key]; busy {
		l.waiting[key] = append(behind, job)
		return false
	}
	l.waiting[key] = nil
	l.keys[job.Delivery()] = key
	return true
}

// done returns the message that was waiting behind d, or nil.
func (l *lanes) done(d *Delivery) Job {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := l.keys[d]
	delete(l.keys, d)
	behind := l.waiting[key]
	if len(behind) == 0 {
		delete(l.waiting, key)
		return nil
	}
	l.waiting[key] = behind[1:]
	l.keys[behind[0].Delivery()] = key
	return behind[0]
}

// empty takes out all that waits.
func (l *lanes) empty() []Job {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []Job
	for key, behind := range l.waiting {
		all = append(all, behind...)
		l.waiting[key] = nil
	}
	return all
}
