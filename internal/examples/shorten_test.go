package examples

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// stage is where examples run: what takes the place of what they name.
type stage struct {
	Binary  string // the command under test
	Runtime string // of the lab that takes the place of an example's cluster
	At      string // its data addresses, with commas between
	Control string // the control address of one of its nodes

	Processes string // of its nodes, NAME=PID with commas between
	Cluster   string // its id
	Config    string // the config file of one of its nodes
	Memory    string // a folder on a tmpfs, for clusters
	Scratch   string // takes the place of all other folders
}

// short has the flags that make an example short, for every command that has them.
var short = map[string]string{
	"seconds": "0.2", "warmup": "0", "rounds": "1", "calm": "0.2", "kills": "1", "transfers": "1",
}

// shorter has more of them for one command.
var shorter = map[string]map[string]string{
	"bench rtt":        {"behind": "5"}, // on a machine that is busy with something else
	"bench cost":       {"rates": "200"},
	"bench journal":    {"mib": "4"},
	"bench opening":    {"records": "20000", "behind": "1000,5000"},
	"bench pipeline":   {"sessions": "1,20", "journal": "0,1", "orders": "1,100"},
	"bench ramp":       {"clients": "5", "every": "200ms", "steps": "2", "rate-each": "20"},
	"bench saturation": {"sessions": "12", "clients": "3", "newcomers": "20"},
	"bench scaling":    {"clients": "1,2,3", "group-clients": "1"},
	"bench sessions":   {"open": "1,50"},
	"bench sweep":      {"payloads": "125,4000", "bursts": "1,4"},
	"bench throughput": {"rate": "200", "max-rate": "400", "within": "50", "p99-limit": "2s"},
}

// most is how far the numbers of an example go at most.
var most = map[string]string{"rate": "500", "cuts": "1", "sessions": "4", "in-flight": "16"}

// harmless has flags that keep a command away from this host's settings.
var harmless = map[string]map[string]string{
	"tune apply":  {"dry-run": "true", "state": "tune.json"},
	"tune revert": {"state": "tune.json"},
	"tune report": {"state": "tune.json"},
}

// command is one call of lockstep as an example has it, taken apart.
type command struct {
	words []string          // what is to be done, and what has no flag's name
	flags map[string]string // flags that the command has: the type of the value, "" for a switch
	args  []string          // flags of the example as --name=value, or --name
}

var (
	flagLine = regexp.MustCompile(`(?m)^ +(?:-(\w), |    )--([a-z0-9-]+)(?: (\w+))?  .*?(\(default [^()]*\))?$`)
)

// take takes a call apart; help is what its --help says. It fails at a flag that is none.
func take(args []string, help string) (c command, err error) {
	c.flags = map[string]string{}
	letters := map[string]string{}
	for _, m := range flagLine.FindAllStringSubmatch(help, -1) {
		c.flags[m[2]] = m[3]
		if m[3] == "" && m[4] != "" && m[4] != "(default true)" {
			c.flags[m[2]] = "text" // a value of a type of its own, which help does not name
		}
		letters[m[1]] = m[2]
	}
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			c.words = append(c.words, args[i:]...)
			break
		}
		if !strings.HasPrefix(arg, "-") || arg == "-" {
			c.words = append(c.words, arg)
			continue
		}
		name, value, has := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if !strings.HasPrefix(arg, "--") {
			name = letters[name]
		}
		kind, known := c.flags[name]
		switch {
		case !known:
			return c, fmt.Errorf("%s is no flag of lockstep %s", arg, strings.Join(c.words, " "))
		case has || kind == "":
		case i+1 == len(args):
			return c, fmt.Errorf("%s has no value", arg)
		default:
			i++
			value, has = args[i], true
		}
		if has {
			name += "=" + value
		}
		c.args = append(c.args, "--"+name)
	}
	return c, nil
}

// uses says that the example speaks with a cluster that runs.
func (c *command) uses() bool {
	return slices.ContainsFunc(c.args, func(arg string) bool {
		name, value, _ := strings.Cut(arg, "=")
		return slices.Contains([]string{"--at", "--control", "--config"}, name) ||
			name == "--nodes" && strings.Contains(value, ":")
	})
}

// shorten is what is run in the stead of an example.
func (s *stage) shorten(c command) []string {
	name := strings.Join(c.words[:min(2, len(c.words))], " ")
	own := map[string]string{}
	for _, more := range []map[string]string{short, shorter[name], harmless[name]} {
		for flag, value := range more {
			if _, has := c.flags[flag]; has {
				own[flag] = value
			}
		}
	}
	if c.uses() { // several clusters side by side are made, not found
		delete(own, "groups")
		delete(own, "group-clients")
	}
	if slices.Contains(c.args, "--stages") { // which may be missing of one message in a hundred
		own["seconds"], own["warmup"] = "2", "0.5"
	}
	if _, has := c.flags["commit"]; has {
		own["dir"] = s.Memory // else there and on disk, one after the other
	}
	line := slices.Clone(c.words)
	for _, arg := range c.args {
		flag, value, has := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		switch {
		case own[flag] != "" && !less(value, own[flag]):
		case has:
			line = append(line, "--"+flag+"="+s.replace(flag, value))
			delete(own, flag)
		default:
			line = append(line, arg)
		}
	}
	for _, flag := range slices.Sorted(maps.Keys(own)) {
		line = append(line, "--"+flag+"="+own[flag])
	}
	return line
}

// replace is what a flag of an example becomes.
func (s *stage) replace(flag, value string) string {
	switch flag {
	case "at":
		return s.At
	case "cluster":
		return s.Cluster
	case "config":
		return s.Config
	case "control":
		return s.Control
	case "pid":
		return s.Processes
	case "nodes":
		if strings.Contains(value, ":") {
			return s.At
		}
	case "dir":
		return s.Scratch
	}
	if limit, has := most[flag]; has && less(limit, value) {
		return limit
	}
	return value
}

// less says that both are numbers, and the first is the smaller one.
func less(a, b string) bool {
	x, err := strconv.ParseFloat(a, 64)
	y, err2 := strconv.ParseFloat(b, 64)
	return err == nil && err2 == nil && x < y
}
