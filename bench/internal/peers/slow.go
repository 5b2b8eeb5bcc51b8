package peers

import (
	"context"
	"time"
)

// Slow makes every handler wait so long, as for a database.
func Slow(work time.Duration, consume Consume) Consume {
	return func(ctx context.Context, url, queue string, handle func()) error {
		return consume(ctx, url, queue, func() {
			time.Sleep(work)
			handle()
		})
	}
}
