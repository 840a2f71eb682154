package tuning

import (
	"errors"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

const irq = "proc/irq/40/"

// interrupt are the files of one.
func interrupt(number, list, sent string) map[string]string {
	dir := "proc/irq/" + number + "/"
	return map[string]string{dir + "smp_affinity_list": list, dir + "effective_affinity_list": sent,
		dir + "eth0-rx-" + number + "/of": "", online: "0-7"}
}

type oneService struct{ state string }

func (s *oneService) Read(name string) (string, error) {
	if name != "irqbalance" {
		return "", errors.ErrUnsupported
	}
	return s.state, nil
}

func (s *oneService) Write(_, value string) error {
	s.state = value
	return nil
}

var interruptCases = append([]itemCase{
	{item: "irqbalance", want: OK, files: map[string]string{"proc/7/comm": "sshd"}},
	{item: "irqbalance", want: Differs, files: map[string]string{"proc/7/comm": "irqbalance"}},
	{item: "irqbalance", want: Unsupported},
	{item: "interrupt affinity", want: OK, target: hot, files: interrupt("40", "0-1,3-4,6-7", "0")},
	{item: "interrupt affinity", want: Differs, target: hot, files: both(interrupt("40", "0-7", "2"), interrupt("41", "0", "0")),
		mends: irq + "smp_affinity_list=0-1,3-4,6-7"},
	{item: "interrupt affinity", want: Immovable, target: hot, files: interrupt("40", "5", "5"),
		refuse: map[string]error{irq + "smp_affinity_list": unix.EIO}},
	{item: "interrupt affinity", want: OK, target: hot, files: interrupt("40", "0-7", "1"), // managed, and sent elsewhere
		refuse: map[string]error{irq + "smp_affinity_list": unix.EIO}},
	{item: "interrupt affinity", want: NoPermission, target: hot, files: interrupt("40", "0-7", "2"),
		refuse: map[string]error{irq + "smp_affinity_list": unix.EROFS}},
	{item: "interrupt affinity", want: Unsupported, target: hot, files: map[string]string{online: "0-7"}},
	{item: "interrupt affinity", want: Unsupported, files: interrupt("40", "0-7", "2")},
}, maskCases("default interrupt affinity", "proc/irq/default_smp_affinity")...)

// A service that systemd started is stopped by apply and started by revert.
func TestServiceIsStoppedAndStarted(t *testing.T) {
	h := tree(t, map[string]string{"proc/7/comm": "irqbalance"})
	s := &oneService{"active"}
	h.Register(KindService, s)
	o := Options{State: t.TempDir() + "/tune.json", Only: []string{"irqbalance"}}
	if changes, err := Apply(h, Target{}, o); err != nil || len(changes) != 1 || s.state != "inactive" {
		t.Fatalf("%v, %v: the service is %s", changes, err, s.state)
	}
	if changes, err := Revert(h, o); err != nil || len(changes) != 1 || s.state != "active" {
		t.Fatalf("%v, %v: the service is %s", changes, err, s.state)
	}
}

func TestMasksAreListsOfCores(t *testing.T) {
	for mask, cores := range map[string][]int{"1": {0}, "db": {0, 1, 3, 4, 6, 7}, "1,00000002": {1, 32},
		"80000000,00000000": {63}} {
		if text := maskOf(cores); text != mask {
			t.Errorf("%v is mask %q, want %q", cores, text, mask)
		}
		if back, err := coresOfMask(mask); !slices.Equal(back, cores) || err != nil {
			t.Errorf("mask %q is %v, %v; want %v", mask, back, err, cores)
		}
	}
	if list := listOf([]int{0, 1, 2, 4, 6, 7}); list != "0-2,4,6-7" {
		t.Errorf("list %q", list)
	}
	if !same("00000000,00000003", "3") || same("30", "3") || same("performance", "powersave") {
		t.Error("masks with zeros in front are not the same, or others are")
	}
}
