package peers

import (
	"context"
	"time"
)

// Slow makes every handler wait so long, as for a database.
func Slow(work time.Duration, consume Consume) Consume {
	return func(ctx context.Context, url, queue string, handle func(body []byte)) error {
		return consume(ctx, url, queue, func(body []byte) {
			time.Sleep(work)
			handle(body)
		})
	}
}
