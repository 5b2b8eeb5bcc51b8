package messaging

import (
	"context"
	"errors"
	"fmt"
)

// RedriveOptions says which dead letters [Redrive] moves, and where to. The
// zero value moves all of them back to where they failed.
type RedriveOptions struct {
	// Max is how many are moved. Defaults to 0: all.
	Max int
	// Filter says whether to move a dead letter. What it refuses stays, and is
	// held by Redrive until it ends. Defaults to nil: all.
	Filter func(*Delivery) bool
	// To is the queue to move to. Defaults to the queue that each dead letter
	// failed in, as its header [HeaderDeadFrom] says; one without that header
	// stays.
	To Address
}

func (o RedriveOptions) validate(dead Address) error {
	if o.Max < 0 {
		return invalid("RedriveOptions.Max", "is negative; 0 is all")
	}
	if !o.To.IsZero() && !o.To.IsQueue() {
		return invalid("RedriveOptions.To", "is %s; it must be a queue", o.To)
	}
	if o.To.IsZero() {
		return nil
	}
	if err := checkName("RedriveOptions.To.Name", o.To.Name()); err != nil {
		return err
	}
	if o.To == dead {
		return invalid("RedriveOptions.To", "is the dead-letter queue itself, %s", dead)
	}
	return nil
}

// Redrive moves messages from a dead-letter queue back to where they failed,
// and returns how many. They arrive as new messages: attempts start at 1, and
// the headers that say why they were dead are gone; all else is kept. Each is
// stored in its new place before it leaves the dead-letter queue.
//
// Redrive ends when the queue has no more messages, after RedriveOptions.Max,
// when ctx ends or at the first one that cannot be moved, because its queue is
// gone (ErrUnroutable) or full (ErrRejected). It may be interrupted at any
// point: what it has not moved stays where it was.
//
// Messages that are dead-lettered while it runs are moved too; stop the failing
// consumers first, or set Max.
func Redrive(ctx context.Context, b Broker, dead Address, opts RedriveOptions) (moved int, err error) {
	if err := dead.Validate(); err != nil {
		return 0, fmt.Errorf("redrive: %w", err)
	}
	if err := opts.validate(dead); err != nil {
		return 0, fmt.Errorf("redrive %s: %w", dead, err)
	}
	var kept []*Pending
	last := "" // the ID of what was moved last
	defer func() {
		for _, p := range kept {
			err = errors.Join(err, p.Settle(Requeue(nil)))
		}
	}()
	for opts.Max == 0 || moved < opts.Max {
		if ctx.Err() != nil {
			return moved, fmt.Errorf("redrive %s: %w", dead, ctx.Err())
		}
		p, err := Get(ctx, b, deadSource(dead))
		if errors.Is(err, ErrEmpty) {
			return moved, nil
		}
		if err != nil {
			return moved, fmt.Errorf("redrive %s: %w", dead, err)
		}
		if last != "" && p.ID == last && p.Redelivered {
			kept = append(kept, p)
			return moved - 1, fmt.Errorf("redrive message %s from %s: it came back; is there a queue to move it to?", p.ID, dead)
		}
		to := opts.target(&p.Delivery)
		if to.IsZero() {
			kept = append(kept, p)
			continue
		}
		if err := p.Settle(moveTo(to)); err != nil {
			return moved, fmt.Errorf("redrive message %s from %s to %s: %w", p.ID, dead, to, err)
		}
		last = p.ID
		moved++
	}
	return moved, nil
}

// catchAll is the queue for what cannot be decoded in a dead-letter queue whose
// own name leaves no room for a suffix.
const catchAll = "warren.dead"

// deadSource is where Redrive gets from. Its user has no say in where its own
// dead letters go, which is no reason to fail.
func deadSource(dead Address) Source {
	src := Source{Address: dead}
	if src.validateDefaultDeadLetter() != nil {
		src.Retry.DeadLetter = Queue(catchAll)
	}
	return src
}

// target is where d is to go, the zero Address where it is to stay.
func (o RedriveOptions) target(d *Delivery) Address {
	if o.Filter != nil && !o.Filter(d) {
		return Address{}
	}
	if !o.To.IsZero() {
		return o.To
	}
	from, err := ParseAddress(d.Headers[HeaderDeadFrom])
	if err != nil || !from.IsQueue() {
		return Address{}
	}
	return from
}
