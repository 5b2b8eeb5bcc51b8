package measure

import (
	"runtime"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
)

// Machine reads what all processes together have used.
type Machine struct {
	meter *Meter
	start Reading
	busy  time.Duration
}

// WatchMachine begins to. The meter's processes are the own ones.
func WatchMachine(meter *Meter) *Machine {
	return &Machine{meter: meter, start: meter.Read(), busy: busyTime()}
}

// Others is the share of the machine's cores that other processes have used
// since, from 0 to 1. Where that is much, rates say little. It is 0 where the
// system does not tell.
func (m *Machine) Others() float64 {
	own := m.meter.Read().Since(m.start)
	others := busyTime() - m.busy - own.Client - own.Broker
	return max(0, float64(others)/float64(own.Took*time.Duration(runtime.NumCPU())))
}

func busyTime() time.Duration {
	all, err := cpu.Times(false)
	if err != nil || len(all) == 0 {
		return 0
	}
	t := all[0]
	return time.Duration((t.User + t.System + t.Nice + t.Irq + t.Softirq + t.Steal) * float64(time.Second))
}
