package ringbuf

import (
	"bufio"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// freeLarge is how many large pages the machine's pool has.
func freeLarge(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(poolFree)
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// checkPages holds what a mapping says of its pages against what there can be.
func checkPages(t *testing.T, what string, p Pages, bytes int) {
	t.Helper()
	t.Logf("%s: %d bytes in %s", what, p.Bytes, p)
	if p.Bytes < bytes || p.Large > p.Bytes || (p.Kind == PagesSmall) != (p.Large == 0) || (p.Kind == PagesPool) != (p.Why == "") {
		t.Errorf("%s: %d bytes in %+v", what, bytes, p)
	}
	if p.Kind == PagesPool && p.Large != p.Bytes {
		t.Errorf("%s: %d of %d bytes are of the pool", what, p.Large, p.Bytes)
	}
}

// TestMappingsSayWhatTheyAreMadeOf, whatever the machine has, and all of their bytes can be used.
func TestMappingsSayWhatTheyAreMadeOf(t *testing.T) {
	for name, c := range map[string]struct {
		bytes, all int
		create     func(int) (*Mapping, error)
	}{
		"small":            {5000, 5000, Map},
		"more than half":   {LargePage/2 + 8192, LargePage/2 + 8192, Map},
		"large":            {4*LargePage + 100, 4*LargePage + 100, Map},
		"small log ring":   {LargePage / 2, LargePage, MapLog},
		"large log ring":   {2 * LargePage, 4 * LargePage, MapLog},
		"one page of both": {LargePage, 2 * LargePage, MapLog},
	} {
		m, err := c.create(c.bytes)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		b := m.Bytes()
		if len(b) != c.all {
			t.Errorf("%s: %d bytes, want %d", name, len(b), c.all)
		}
		for i := range b {
			if b[i] != 0 {
				t.Fatalf("%s: byte %d is %d", name, i, b[i])
			}
		}
		b[0], b[len(b)-1] = 1, 2
		if c.all > c.bytes && (b[c.bytes] != 1 || b[c.bytes-1] != 2) {
			t.Errorf("%s: the halves differ", name)
		}
		checkPages(t, name, m.Pages(), c.bytes)
		if m.Pages().Kind == PagesTransparent && uintptr(unsafe.Pointer(&b[0]))%LargePage != 0 {
			t.Errorf("%s: begins in the middle of a large page", name)
		}
		if err := m.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestThePoolIsTakenFirst where the machine has one, and left alone by what does not fit into it.
func TestThePoolIsTakenFirst(t *testing.T) {
	free := freeLarge(t)
	if free < 8 {
		t.Skipf("the machine's pool has %d free pages of 2 MiB: sysctl vm.nr_hugepages=64 makes some", free)
	}
	for name, create := range map[string]func(int) (*Mapping, error){"memory": Map, "log ring": MapLog} {
		m, err := create(4 * LargePage)
		if err != nil {
			t.Fatal(err)
		}
		if p := m.Pages(); p.Kind != PagesPool || freeLarge(t) != free-4 {
			t.Errorf("%s: %d bytes in %s; the pool went from %d to %d pages", name, p.Bytes, p, free, freeLarge(t))
		}
		if err := m.Close(); err != nil || freeLarge(t) != free {
			t.Errorf("%s: closed (%v), the pool has %d pages of %d", name, err, freeLarge(t), free)
		}
	}
	all := 1
	for all*LargePage <= free*LargePage {
		all *= 2
	}
	m, err := MapLog(all * LargePage)
	if err != nil {
		t.Skipf("no memory for a ring that does not fit the pool: %v", err)
	}
	defer m.Close()
	if p := m.Pages(); p.Kind == PagesPool || freeLarge(t) != free {
		t.Errorf("%d pages in %s, and %d of %d of the pool are free", all, p, freeLarge(t), free)
	}
}

func TestPagesInWords(t *testing.T) {
	for want, p := range map[string]Pages{
		"2 MiB pages of the pool":                             {Kind: PagesPool, Bytes: LargePage, Large: LargePage},
		"transparent huge pages (x)":                          {Kind: PagesTransparent, Bytes: LargePage + 4096, Large: LargePage, Why: "x"},
		"transparent huge pages for 2048 of 4096 KiB (x)":     {Kind: PagesTransparent, Bytes: 2 * LargePage, Large: LargePage, Why: "x"},
		strconv.Itoa(os.Getpagesize()>>10) + " KiB pages (x)": {Bytes: LargePage, Why: "x"},
	} {
		if got := p.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if text := poolLacks(unix.EPERM); !strings.Contains(text, "operation not permitted") {
		t.Errorf("a refusal is %q", text)
	}
	if text := poolLacks(errors.Join(unix.ENOMEM)); freeLarge(t) == 0 && !strings.HasSuffix(text, "2 MiB pages has 0 free") &&
		!strings.Contains(text, "cannot allocate") {
		t.Errorf("an empty pool is %q", text)
	}
}

func TestSmapsAreReadForOneMapping(t *testing.T) {
	const smaps = `7f0000000000-7f0000400000 rw-p 00000000 00:00 0 
Size:               4096 kB
AnonHugePages:      2048 kB
VmFlags: rd wr mr mw me lo ac hg
7f0000600000-7f0000a00000 rw-s 00000000 00:01 1035 /memfd:x: y (deleted)
Size:               4096 kB
ShmemPmdMapped:     4096 kB
AnonHugePages:         0 kB
`
	for _, c := range []struct {
		start uintptr
		field string
		want  int
	}{
		{0x7f0000000000, "AnonHugePages", 2 << 20}, {0x7f0000600000, "ShmemPmdMapped", 4 << 20},
		{0x7f0000600000, "AnonHugePages", 0}, {0x7f0000000000, "ShmemPmdMapped", 0}, {0x7f0000200000, "AnonHugePages", 0},
	} {
		if got := smapsField(bufio.NewReader(strings.NewReader(smaps)), c.start, c.field); got != c.want {
			t.Errorf("%s at %x is %d, want %d", c.field, c.start, got, c.want)
		}
	}
}
