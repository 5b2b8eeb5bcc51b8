package rabbitmq

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestHeaderText(t *testing.T) {
	for _, c := range []struct {
		value any
		want  string
	}{
		{nil, ""},
		{"", ""},
		{"text \xff", "text \xff"},
		{true, "true"},
		{false, "false"},
		{byte(255), "255"},
		{int8(-128), "-128"},
		{int16(-300), "-300"},
		{int32(7), "7"},
		{int64(math.MinInt64), "-9223372036854775808"},
		{uint16(65535), "65535"},
		{uint32(4294967295), "4294967295"},
		{float32(0.1), "0.1"},
		{1.5, "1.5"},
		{1e300, "1e+300"},
		{math.NaN(), "NaN"},
		{math.Inf(-1), "-Inf"},
		{amqp.Decimal{Scale: 0, Value: -5}, "-5"},
		{amqp.Decimal{Scale: 2, Value: 12345}, "123.45"},
		{amqp.Decimal{Scale: 3, Value: -5}, "-0.005"},
		{amqp.Decimal{Scale: 1, Value: 0}, "0.0"},
		{amqp.Decimal{Scale: 3, Value: math.MinInt32}, "-2147483.648"},
		{time.Unix(1_700_000_000, 0), "2023-11-14T22:13:20Z"},
		{[]byte("text"), "text"},
		{[]byte{}, ""},
		{[]byte{0xff, 0x00}, "/wA="},
		{[]any{}, "[]"},
		{[]any{"a", int32(1), nil, true, []byte("b"), amqp.Decimal{Scale: 1, Value: 5}}, `["a",1,null,true,"b",0.5]`},
		{[]any{math.NaN(), time.Unix(0, 0)}, `["NaN","1970-01-01T00:00:00Z"]`},
		{amqp.Table{}, "{}"},
		{amqp.Table{"b": int64(2), "a": amqp.Table{"c": []any{"x"}}}, `{"a":{"c":["x"]},"b":2}`},
	} {
		if got := headerText(c.value); got != c.want {
			t.Errorf("%T %v: %q, want %q", c.value, c.value, got, c.want)
		}
	}
}

// FuzzHeaderText: whatever a header has, it becomes a string; tables and
// arrays become JSON.
func FuzzHeaderText(f *testing.F) {
	f.Add("k", "v", []byte{0xff}, int64(1), 1.5, byte(3), int32(7), true)
	f.Add("", "\x00", []byte(nil), int64(math.MinInt64), math.Inf(1), byte(255), int32(math.MinInt32), false)
	f.Fuzz(func(t *testing.T, key, text string, bytes []byte, n int64, x float64, scale byte, value int32, yes bool) {
		decimal := amqp.Decimal{Scale: scale, Value: value}
		list := []any{text, bytes, n, x, float32(x), decimal, yes, nil, time.Unix(n%(1<<40), 0)}
		table := amqp.Table{key: list, "nested": amqp.Table{"decimal": decimal}}
		for _, v := range append(list, list, table) {
			out := headerText(v)
			switch v.(type) {
			case []any, amqp.Table:
				if !json.Valid([]byte(out)) {
					t.Errorf("%#v became %q, which is no JSON", v, out)
				}
			}
		}
		if got := headerText(text); got != text {
			t.Errorf("a string was changed: %q became %q", text, got)
		}
		if out := headerText(decimal); strings.Count(out, ".") > 1 || strings.ContainsAny(out, "eE") || strings.LastIndex(out, "-") > 0 {
			t.Errorf("%#v became %q", decimal, out)
		}
	})
}
