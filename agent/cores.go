package agent

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// isolatedPath lists the cores that the kernel was told to keep free.
const isolatedPath = "/sys/devices/system/cpu/isolated"

// Isolated returns the cores that the kernel schedules nothing on by itself (isolcpus), in ascending order.
func Isolated() ([]int, error) {
	text, err := os.ReadFile(isolatedPath)
	if err != nil {
		return nil, fmt.Errorf("agent: isolated cores: %w", err)
	}
	cores, err := ParseCores(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("agent: isolated cores in %s: %w", isolatedPath, err)
	}
	return cores, nil
}

// ParseCores reads a list of cores as the kernel writes them, such as "1,4-7"; empty is no core.
func ParseCores(list string) ([]int, error) {
	var cores []int
	if list == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(list, ",") {
		low, high, isRange := strings.Cut(part, "-")
		first, err := strconv.ParseUint(low, 10, 16)
		last := first
		if err == nil && isRange {
			last, err = strconv.ParseUint(high, 10, 16)
		}
		if err != nil || last < first {
			return nil, fmt.Errorf("%q is no list of cores such as 1,4-7", list)
		}
		for core := first; core <= last; core++ {
			cores = append(cores, int(core))
		}
	}
	slices.Sort(cores)
	return slices.Compact(cores), nil
}

// ChooseIdle chooses the idle strategy of the hot threads, given the cores that their layout pins them to (empty when
// it pins none), and says why: spin if every one is isolated, else yield.
func ChooseIdle(cores []int) (kind IdleKind, reason string) {
	isolated, err := Isolated()
	return chooseIdle(cores, isolated, err)
}

func chooseIdle(cores, isolated []int, err error) (IdleKind, string) {
	if err != nil {
		return IdleYield, fmt.Sprintf("which cores are isolated is not known (%v)", err)
	}
	if len(cores) == 0 {
		return IdleYield, "the hot threads have no cores of their own"
	}
	for _, core := range cores {
		if !slices.Contains(isolated, core) {
			return IdleYield, fmt.Sprintf("core %d is not isolated", core)
		}
	}
	return IdleSpin, "every hot core is isolated"
}
