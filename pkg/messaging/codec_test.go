package messaging_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"

	"github.com/warrenmq/warren/pkg/messaging"
)

// decimal is a codec of whole numbers, written out.
type decimal struct{}

func (decimal) Encode(n int) (*messaging.Message, error) {
	return &messaging.Message{ContentType: "text/plain", Body: []byte(strconv.Itoa(n))}, nil
}

func (decimal) Decode(m *messaging.Message) (int, error) { return strconv.Atoi(string(m.Body)) }

// Any format is a codec of two functions.
func ExampleHandle() {
	handle := messaging.Handle(decimal{}, func(_ context.Context, n int, _ *messaging.Delivery) error {
		fmt.Println("got", n)
		return nil
	})
	m, _ := decimal{}.Encode(42)
	fmt.Println(handle(context.Background(), &messaging.Delivery{Message: *m}))
	fmt.Println(handle(context.Background(), &messaging.Delivery{Message: messaging.Message{Body: []byte("many")}}))
	// Output:
	// got 42
	// <nil>
	// strconv.Atoi: parsing "many": invalid syntax
}

func TestHandleRejectsWhatCannotBeDecoded(t *testing.T) {
	fails := errors.New("fails")
	h := messaging.Handle(messaging.JSONCodec[int]{}, func(context.Context, int, *messaging.Delivery) error { return fails })
	for body, want := range map[string]messaging.Action{"7": messaging.Again, "seven": messaging.DeadLetter} {
		err := h(t.Context(), &messaging.Delivery{Message: messaging.Message{Body: []byte(body)}})
		if got := messaging.Decide(err, 1, messaging.Retry{MaxAttempts: 5}).Action; got != want {
			t.Errorf("%q: %v is %s, want %s", body, err, got, want)
		}
	}
}

func TestJSONCodec(t *testing.T) {
	c := messaging.JSONCodec[map[string]int]{}
	m, err := c.Encode(map[string]int{"n": 7})
	if err != nil || m.ContentType != "application/json" {
		t.Fatalf("%v, %v", m, err)
	}
	if v, err := c.Decode(m); err != nil || v["n"] != 7 {
		t.Errorf("decoded %v, %v", v, err)
	}
}
