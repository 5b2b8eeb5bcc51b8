package rabbitmq

import "slices"

// coalescer decides how to acknowledge with few frames. Delivery tags of a
// channel count 1, 2, 3, ...; what is settled without a gap from the start is
// acknowledged together (multiple=true), and what is settled beyond a gap one
// by one, so that one slow handler holds up nobody's acknowledgement.
//
// The zero value is ready. It knows nothing of AMQP and is used under a lock.
type coalescer struct {
	low    uint64              // all tags up to here are settled
	ahead  map[uint64]struct{} // settled beyond low+1
	unsent []uint64            // acknowledged, and not yet returned by take
}

// settle notes that a tag is settled; ack says that it is to be acknowledged,
// rather than settled in another way. It returns how many wait for take.
func (c *coalescer) settle(tag uint64, ack bool) int {
	if ack {
		c.unsent = append(c.unsent, tag)
	}
	if tag != c.low+1 {
		if c.ahead == nil {
			c.ahead = map[uint64]struct{}{}
		}
		c.ahead[tag] = struct{}{}
		return len(c.unsent)
	}
	c.low = tag
	for len(c.ahead) > 0 {
		if _, settled := c.ahead[c.low+1]; !settled {
			break
		}
		c.low++
		delete(c.ahead, c.low)
	}
	return len(c.unsent)
}

// take returns what to acknowledge now: everything up to upTo at once, where it
// is not 0, and each of the others. upTo itself is unacknowledged, as the
// broker demands of the tag it is given.
func (c *coalescer) take() (upTo uint64, others []uint64) {
	for _, tag := range c.unsent {
		if tag <= c.low {
			upTo = max(upTo, tag)
		} else {
			others = append(others, tag)
		}
	}
	c.unsent = c.unsent[:0]
	slices.Sort(others)
	return upTo, others
}
