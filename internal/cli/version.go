package cli

import "runtime/debug"

// version is the module's version and the commit that the program was built
// from, as far as the build recorded them.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v, modified := info.Main.Version, ""
	if v == "" {
		v = "(devel)"
	}
	revision := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = ", modified"
		}
	}
	if revision != "" {
		v += " (commit " + revision[:min(12, len(revision))] + modified + ")"
	}
	return v + ", " + info.GoVersion
}
