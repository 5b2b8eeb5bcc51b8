package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"

	"github.com/warrenmq/warren/internal/chaos"
)

// runner is one run of the programme.
type runner struct {
	short, child bool
	only, page   string

	mu  sync.Mutex
	all map[string]chaos.Result
}

// How many kinds of faults happen at the same time, besides those that are
// apart. Most of them wait most of the time.
const atOnce, atOnceShort = 2, 3

func (r *runner) run(ctx context.Context) error {
	faults, err := r.choose()
	if err != nil {
		return err
	}
	if r.page != "" && (r.short || r.only != "") {
		return errors.New("-page is for the figures of a full run, without -short and -only")
	}
	if r.child {
		return json.NewEncoder(os.Stdout).Encode(r.one(ctx, faults[0], &chaos.Rig{}))
	}
	r.all = map[string]chaos.Result{}
	var running sync.WaitGroup
	places := make(chan struct{}, r.places())
	for _, kind := range kinds(faults) {
		if kind[0].Apart {
			running.Go(func() { r.keep(kind[0], r.apart(ctx, kind[0])) })
		}
	}
	for _, kind := range kinds(faults) {
		if kind[0].Apart {
			continue
		}
		places <- struct{}{}
		running.Go(func() {
			defer func() { <-places }()
			rig := &chaos.Rig{}
			defer rig.Close()
			for _, f := range kind {
				if ctx.Err() == nil {
					r.keep(f, r.one(ctx, f, rig))
				}
			}
		})
	}
	running.Wait()
	return errors.Join(context.Cause(ctx), r.conclude(faults))
}

func (r *runner) places() int {
	if r.short {
		return atOnceShort
	}
	return atOnce
}

func (r *runner) choose() ([]chaos.Fault, error) {
	all := chaos.Programme()
	if r.only == "" {
		return all, nil
	}
	names := strings.Split(r.only, ",")
	var chosen []chaos.Fault
	for _, f := range all {
		if slices.Contains(names, f.Name) {
			chosen = append(chosen, f)
		}
	}
	if len(chosen) != len(names) {
		var known []string
		for _, f := range all {
			known = append(known, f.Name)
		}
		return nil, fmt.Errorf("-only is %q; known are %s", r.only, strings.Join(known, ", "))
	}
	return chosen, nil
}

// kinds groups faults of one kind.
func kinds(faults []chaos.Fault) [][]chaos.Fault {
	var groups [][]chaos.Fault
	for i, f := range faults {
		if i == 0 || f.Kind != faults[i-1].Kind {
			groups = append(groups, nil)
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], f)
	}
	return groups
}

func (r *runner) times(f chaos.Fault) int {
	if r.short {
		return f.Short
	}
	return f.Times
}

func (r *runner) one(ctx context.Context, f chaos.Fault, rig *chaos.Rig) chaos.Result {
	return chaos.Run(ctx, f, r.times(f), rig)
}

// apart runs a fault in a process of its own.
func (r *runner) apart(ctx context.Context, f chaos.Fault) chaos.Result {
	failed := func(err error) chaos.Result { return chaos.Result{Name: f.Name, Wrong: []string{err.Error()}} }
	self, err := os.Executable()
	if err != nil {
		return failed(err)
	}
	args := []string{"-child", "-only", f.Name}
	if r.short {
		args = append(args, "-short")
	}
	cmd := exec.CommandContext(ctx, self, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return failed(fmt.Errorf("in a process of its own: %w", err))
	}
	var result chaos.Result
	if err := json.Unmarshal(out.Bytes(), &result); err != nil {
		return failed(err)
	}
	return result
}

// keep prints a fault's line and remembers its result.
func (r *runner) keep(f chaos.Fault, result chaos.Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all[f.Name] = result
	fmt.Println(chaos.Line(f, result))
	for _, w := range result.Wrong {
		fmt.Printf("       %s: %s\n", f.Name, strings.TrimSpace(w))
	}
}

// conclude prints the last line. Its error says which faults did not hold.
func (r *runner) conclude(faults []chaos.Fault) error {
	var results []chaos.Result
	var failed []string
	for _, f := range faults {
		result, done := r.all[f.Name]
		if !done || !result.Held() {
			failed = append(failed, f.Name)
		}
		if done {
			results = append(results, result)
		}
	}
	defer fmt.Println(chaos.Summary(results))
	if len(failed) > 0 {
		return fmt.Errorf("not as it should be: %s", strings.Join(failed, ", "))
	}
	if r.page != "" {
		return chaos.WritePage(r.page, faults, r.all, r.times)
	}
	return nil
}
