package rabbitmq

import (
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"testing"
)

// TestDocumentedParameters: the package's documentation lists the parameters
// that the URL may have, and their defaults.
func TestDocumentedParameters(t *testing.T) {
	source, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	unsaid := config{}.withDefaults()
	var documented []string
	for _, line := range regexp.MustCompile(`(?m)^//\t([a-z_]+)  +(\S+)  +\S.*$`).FindAllStringSubmatch(string(source), -1) {
		name, value := line[1], line[2]
		if name == "parameter" { // the head of the table
			continue
		}
		documented = append(documented, name)
		if value[0] == '(' { // depends on the program
			continue
		}
		var said config
		if p, known := parameters[name]; known && p.set(&said, value) != nil {
			t.Errorf("%s cannot be its default, %s", name, value)
		}
		if !reflect.DeepEqual(said.withDefaults(), unsaid) {
			t.Errorf("%s is not the default of %s", value, name)
		}
	}
	slices.Sort(documented)
	if known := slices.Sorted(maps.Keys(parameters)); !slices.Equal(documented, known) {
		t.Errorf("documented are\n%q, known are\n%q", documented, known)
	}
}
