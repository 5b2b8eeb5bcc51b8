package messaging

import (
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"
)

// The headers of a message in a dead-letter queue: why, how often, from where
// and when it was given up.
const (
	HeaderDeadReason   = "warren-dead-reason"   // ReasonRejected, ReasonAttempts or ReasonUndecodable
	HeaderDeadError    = "warren-dead-error"    // the handler's error, at most 1,024 bytes of it
	HeaderDeadAttempts = "warren-dead-attempts" // how often it was handled
	HeaderDeadFrom     = "warren-dead-from"     // the queue it was in, e.g. "queue:hello"; of a topic's group, its queue
	HeaderDeadTime     = "warren-dead-time"     // RFC 3339 with milliseconds, UTC
)

// maxErrorText keeps a handler's error from outgrowing what a broker takes as
// headers of a message (a frame of AMQP has 131,072 bytes by default).
const maxErrorText = 1024

// IsDeadLetterHeader says whether key is one of the headers that
// [DeadLetterHeaders] adds, and that [Redrive] takes away again.
func IsDeadLetterHeader(key string) bool {
	switch key {
	case HeaderDeadReason, HeaderDeadError, HeaderDeadAttempts, HeaderDeadFrom, HeaderDeadTime:
		return true
	}
	return false
}

// DeadLetterHeaders returns the headers that an adapter adds to a message when
// it moves it from a queue to the dead-letter queue, at an attempt, for the
// reason in dec. On a topic, from is [Source.Queue].
func DeadLetterHeaders(from Address, attempt int, dec Decision) map[string]string {
	text := ""
	if dec.Err != nil {
		text = textOf(dec.Err)
	}
	return map[string]string{
		HeaderDeadReason:   dec.Reason,
		HeaderDeadError:    shorten(text),
		HeaderDeadAttempts: strconv.Itoa(attempt),
		HeaderDeadFrom:     from.String(),
		HeaderDeadTime:     time.Now().UTC().Format("2006-01-02T15:04:05.000Z07:00"),
	}
}

// textOf is what err says. An error whose method panics, as that of a nil
// pointer in an error does, is a handler's mistake like any other.
func textOf(err error) (text string) {
	defer func() {
		if p := recover(); p != nil {
			text = fmt.Sprintf("the error's own text cannot be had: %v", p)
		}
	}()
	return err.Error()
}

// shorten cuts text to maxErrorText, and no character in two.
func shorten(text string) string {
	if len(text) <= maxErrorText {
		return text
	}
	end := maxErrorText
	for end > maxErrorText-utf8.UTFMax && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}
