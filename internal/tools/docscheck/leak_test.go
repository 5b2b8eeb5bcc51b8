package main

import (
	"testing"

	"go.uber.org/goleak"
)

import _ "pgregory.net/rapid" // its flags: go test ./... -rapid.checks=N gives them to every package

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
