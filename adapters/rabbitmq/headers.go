package rabbitmq

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	amqp "github.com/rabbitmq/amqp091-go"
)

// headerText makes a string of the value of a header, which in AMQP has one of
// many types:
//
//	string                  as it is
//	integers                decimal
//	floating point          shortest decimal that reads back as the same number
//	decimal                 with its digits after the point
//	boolean                 true, false
//	timestamp               RFC 3339, UTC
//	bytes                   as they are where they are UTF-8, else base64
//	array, table            JSON, its values by these rules
//	void                    the empty string
//
// It never fails.
func headerText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case []byte:
		return bytesText(v)
	case time.Time:
		return v.UTC().Format(time.RFC3339)
	case float32:
		return strconv.FormatFloat(float64(v), 'g', -1, 32)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case amqp.Decimal:
		return decimalText(v)
	case []any, amqp.Table:
		return jsonText(v)
	default: // the integers
		return fmt.Sprint(v)
	}
}

func bytesText(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return base64.StdEncoding.EncodeToString(b)
}

func decimalText(d amqp.Decimal) string {
	if d.Scale == 0 {
		return strconv.Itoa(int(d.Value))
	}
	sign, digits := "", strconv.FormatInt(int64(d.Value), 10)
	if d.Value < 0 {
		sign, digits = "-", digits[1:]
	}
	if missing := int(d.Scale) + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	point := len(digits) - int(d.Scale)
	return sign + digits[:point] + "." + digits[point:]
}

func jsonText(v any) string {
	text, err := json.Marshal(jsonValue(v))
	if err != nil { // cannot be: jsonValue leaves only what has a form in JSON
		return fmt.Sprint(v)
	}
	return string(text)
}

// jsonValue is v in the types that JSON has.
func jsonValue(v any) any {
	switch v := v.(type) {
	case nil, bool, string, int, int8, int16, int32, int64, uint8, uint16, uint32:
		return v
	case float32:
		return jsonFloat(float64(v), v)
	case float64:
		return jsonFloat(v, v)
	case amqp.Decimal:
		return json.Number(decimalText(v))
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = jsonValue(v[i])
		}
		return list
	case amqp.Table:
		object := make(map[string]any, len(v))
		for key, value := range v {
			object[key] = jsonValue(value)
		}
		return object
	default:
		return headerText(v)
	}
}

// jsonFloat is the number, or its text where JSON has no number for it.
func jsonFloat(f float64, v any) any {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return headerText(v)
	}
	return v
}
