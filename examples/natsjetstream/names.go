package natsjetstream

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/warrenmq/warren/pkg/messaging"
)

// A queue has a stream of its own, whose name begins so. The others are shared.
const (
	queueStream  = "WARREN_Q_"
	topicsStream = "WARREN_TOPICS" // every topic; a group is a consumer of it
	holdStream   = "WARREN_HOLD"   // what waits for its time
	holdSubject  = "warren.hold"
)

// place is where a queue's messages are: the stream, the consumer that all of
// its subscribers share, and the subject that leads to them.
type place struct{ stream, consumer, subject string }

func queuePlace(queue string) place {
	t := token(queue)
	return place{stream: queueStream + t, consumer: "workers", subject: "warren.q." + t}
}

// groupPlace is that of a topic's group, by the name of its queue. What is
// published to the queue, and not to the topic, has a subject of its own there.
func groupPlace(queue string) place {
	t := token(queue)
	return place{stream: topicsStream, consumer: t, subject: "warren.g." + t}
}

// topicSubject is what a message with that key is published under.
func topicSubject(topic, key string) string {
	words := []string{"warren.t", token(topic)}
	if key != "" {
		for word := range strings.SplitSeq(key, ".") {
			words = append(words, token(word))
		}
	}
	return strings.Join(append(words, endOfKey), ".")
}

// endOfKey follows the words of each key. Without it, "order.#" could not be
// written in NATS, where ">" is one word or more: no pattern matches "order" and
// all that begins with "order." but nothing else.
const endOfKey = "=end"

// filters are a topic's patterns as NATS has them.
func filters(topic string, patterns []string) ([]string, error) {
	all := []string{"warren.t", token(topic)}
	if len(patterns) == 0 {
		patterns = []string{"#"}
	}
	var list []string
	for _, pattern := range patterns {
		words, err := filter(pattern)
		if err != nil {
			return nil, err
		}
		list = append(list, strings.Join(slices.Concat(all, words), "."))
	}
	return general(list), nil
}

// general leaves out what another filter covers, because NATS wants no two of a
// consumer to.
func general(filters []string) (list []string) {
	slices.Sort(filters)
	filters = slices.Compact(filters)
	for _, f := range filters {
		if !slices.ContainsFunc(filters, func(other string) bool { return other != f && covers(other, f) }) {
			list = append(list, f)
		}
	}
	return list
}

// covers says whether a filter matches all that another one does.
func covers(filter, other string) bool {
	have, want := strings.Split(filter, "."), strings.Split(other, ".")
	for i, word := range have {
		switch {
		case i == len(want):
			return false
		case word == ">":
			return true
		case want[i] == ">", word != "*" && word != want[i]:
			return false
		}
	}
	return len(have) == len(want)
}

func filter(pattern string) (words []string, err error) {
	amqp := strings.Split(pattern, ".")
	for i, word := range amqp {
		switch {
		case word == "#" && i == len(amqp)-1:
			return append(words, ">"), nil
		case word == "#":
			return nil, fmt.Errorf("the pattern %q has # before its end, which NATS cannot match: %w", pattern, errors.ErrUnsupported)
		case word == "*":
			words = append(words, "*")
		default:
			words = append(words, token(word))
		}
	}
	return append(words, endOfKey), nil
}

// maxToken keeps the name of a stream within the 255 bytes that it may have.
const maxToken = 200

// token is a name as one token of a subject, and as a name of a stream or a
// consumer. These have no dots, wildcards, spaces or slashes, so any byte but
// letters, digits, - and _ becomes = and its hexadecimal digits. What is too
// long is cut off, and ends with a hash of the whole.
func token(name string) string {
	if name == "" {
		return "="
	}
	var b strings.Builder
	for _, c := range []byte(name) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "=%02X", c)
		}
	}
	if b.Len() <= maxToken {
		return b.String()
	}
	sum := sha256.Sum256([]byte(name))
	hash := "==" + hex.EncodeToString(sum[:16])
	return b.String()[:maxToken-len(hash)] + hash
}

// placeOf is the place of a queue, or of the queue of a topic's group, that src
// receives from.
func placeOf(src messaging.Source) place {
	if src.Address.IsTopic() {
		return groupPlace(src.Queue().Name())
	}
	return queuePlace(src.Address.Name())
}
