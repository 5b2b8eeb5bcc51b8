package rabbitmq_test

import (
	"context"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// publishForeign sends what no warren and no Watermill publisher would.
func publishForeign(ctx context.Context, url, queue string) error {
	conn, err := amqp.Dial(url)
	if err != nil {
		return err
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	if err := ch.Confirm(false); err != nil {
		return err
	}
	confirm, err := ch.PublishWithDeferredConfirm("", queue, true, false, amqp.Publishing{
		Headers: amqp.Table{
			"int": int32(-7), "long": int64(1) << 40, "byte": byte(3), "bool": true, "float": 1.5, "nil": nil,
			"decimal": amqp.Decimal{Scale: 2, Value: 314}, "time": time.Unix(1_700_000_000, 0),
			"bytes": []byte{0, 0xff}, "list": []any{"a", int32(1)}, "table": amqp.Table{"k": []any{amqp.Table{"deep": true}}},
			"x-death": []any{amqp.Table{"queue": "elsewhere", "reason": "expired", "count": int64(1)}},
		},
		Body: []byte{0xff, 0x00, 0xfe},
	})
	if err != nil {
		return err
	}
	_, err = confirm.WaitContext(ctx)
	return err
}
