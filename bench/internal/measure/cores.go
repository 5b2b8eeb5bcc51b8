package measure

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// CoreDistance is how long it takes until one core sees what another has
// written; 0 where there is only one. What a broker in the process can do
// depends on it. On a virtual machine it changes by itself, by a factor of six
// and for seconds, when the host moves the machine's cores.
func CoreDistance() time.Duration {
	if runtime.GOMAXPROCS(0) < 2 {
		return 0
	}
	const most = 20_000
	var ball atomic.Int64 // odd on its way there, even on its way back
	var end atomic.Bool
	var other sync.WaitGroup
	other.Go(func() {
		for i := int64(1); !end.Load(); {
			if ball.Load() == i {
				ball.Store(i + 1)
				i += 2
			}
		}
	})
	throw := func(i int64) {
		ball.Store(i)
		for ball.Load() != i+1 {
		}
	}
	throw(1) // until the other runs
	start := time.Now()
	for i := int64(1); i <= most; i++ {
		throw(2*i + 1)
	}
	took := time.Since(start)
	end.Store(true)
	other.Wait()
	return took / (2 * most)
}
