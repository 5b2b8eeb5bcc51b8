package report

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/host"
	"github.com/shirou/gopsutil/v4/mem"
)

// Machine says where something was measured.
type Machine struct {
	CPU, System string
	Cores       int
	Memory      string
	Versions    []string // of Go, the broker and the peers
}

// ThisMachine describes this one. What the system does not tell is left out.
func ThisMachine(broker string) Machine {
	m := Machine{Cores: runtime.NumCPU(), CPU: runtime.GOARCH, System: runtime.GOOS}
	if c, err := cpu.Info(); err == nil && len(c) > 0 && c[0].ModelName != "" {
		m.CPU = c[0].ModelName
	}
	if v, err := mem.VirtualMemory(); err == nil {
		m.Memory = fmt.Sprintf("%.0f GiB", float64(v.Total)/(1<<30))
	}
	if h, err := host.Info(); err == nil {
		m.System = strings.TrimSpace(fmt.Sprintf("%s %s, kernel %s", h.Platform, h.PlatformVersion, h.KernelVersion))
	}
	m.Versions = append([]string{"Go " + strings.TrimPrefix(runtime.Version(), "go"), "RabbitMQ " + broker}, peerVersions()...)
	return m
}

// measured are the modules that are compared.
var measured = []string{
	"github.com/rabbitmq/amqp091-go",
	"github.com/ThreeDotsLabs/watermill-amqp/v2",
	"github.com/ThreeDotsLabs/watermill",
	"github.com/wagslane/go-rabbitmq",
	"gocloud.dev/pubsub/rabbitpubsub",
	"gocloud.dev",
	"github.com/nats-io/nats-server/v2",
	"github.com/nats-io/nats.go",
}

func peerVersions() (versions []string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	for _, path := range measured {
		i := slices.IndexFunc(info.Deps, func(m *debug.Module) bool { return m.Path == path })
		if i >= 0 {
			versions = append(versions, path+" "+info.Deps[i].Version)
		}
	}
	return versions
}
