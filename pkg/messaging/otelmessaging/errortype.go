package otelmessaging

import (
	"context"
	"errors"
	"reflect"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/warrenmq/warren/pkg/messaging"
	"github.com/warrenmq/warren/pkg/messaging/middleware"
)

// errorPanic is the error.type of a handler that did not return.
const errorPanic = "panic"

// sentinels are the errors that have a name, the more telling first.
var sentinels = []struct {
	err  error
	name string
}{
	{messaging.ErrUnroutable, "unroutable"},
	{messaging.ErrRejected, "rejected"},
	{messaging.ErrTooLarge, "too_large"},
	{messaging.ErrBlocked, "blocked"},
	{messaging.ErrUnconfirmed, "unconfirmed"},
	{messaging.ErrClosed, "closed"},
	{context.DeadlineExceeded, "timeout"},
	{context.Canceled, "canceled"},
}

// saysNothing are types that many different errors have.
var saysNothing = map[reflect.Type]bool{
	reflect.TypeOf(errors.New("")):        true,
	reflect.TypeOf(errors.Join(errBlank)): true,
	reflect.TypeOf(messaging.Reject(nil)): true,
}

var errBlank = errors.New("")

// errorType is the class of an error, of which there are few.
func errorType(err error) attribute.KeyValue {
	var typed interface{ ErrorType() string }
	if errors.As(err, &typed) {
		return semconv.ErrorType(err)
	}
	if caught := (*middleware.PanicError)(nil); errors.As(err, &caught) {
		return semconv.ErrorTypeKey.String(errorPanic)
	}
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			return semconv.ErrorTypeKey.String(s.name)
		}
	}
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	if saysNothing[reflect.TypeOf(err)] {
		return semconv.ErrorTypeOther
	}
	return semconv.ErrorType(err)
}
