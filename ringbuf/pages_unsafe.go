package ringbuf

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// LargePage is how large a large page is.
const LargePage = 2 << 20

// PageKind is where the pages of a mapping are from.
type PageKind uint8

// The kinds.
const (
	PagesSmall       PageKind = iota // as everybody has them
	PagesTransparent                 // the kernel made some of them large
	PagesPool                        // large, from the pool that the machine has set aside
)

// String is a word for it.
func (k PageKind) String() string {
	switch k {
	case PagesSmall:
		return "small"
	case PagesTransparent:
		return "transparent"
	case PagesPool:
		return "pool"
	}
	return fmt.Sprintf("PageKind(%d)", uint8(k))
}

// Pages is what a mapping is made of.
type Pages struct {
	Kind  PageKind
	Bytes int    // of the mapping
	Large int    // of them in large pages
	Why   string // why there are no better ones
}

// String says it in one line.
func (p Pages) String() string {
	switch {
	case p.Kind == PagesPool:
		return "2 MiB pages of the pool"
	case p.Kind == PagesSmall:
		return fmt.Sprintf("%d KiB pages (%s)", os.Getpagesize()>>10, p.Why)
	case p.Large < p.Bytes&^(LargePage-1):
		return fmt.Sprintf("transparent huge pages for %d of %d KiB (%s)", p.Large>>10, p.Bytes>>10, p.Why)
	}
	return fmt.Sprintf("transparent huge pages (%s)", p.Why)
}

// The settings for transparent huge pages.
const (
	thpAnonymous = "/sys/kernel/mm/transparent_hugepage/enabled"
	thpShared    = "/sys/kernel/mm/transparent_hugepage/shmem_enabled"
	poolFree     = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"
)

// poolLacks says why the pool did not do.
func poolLacks(err error) string {
	free, readErr := os.ReadFile(poolFree)
	if readErr == nil && (errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.ENOSPC)) {
		return fmt.Sprintf("the pool of 2 MiB pages has %s free", strings.TrimSpace(string(free)))
	}
	return fmt.Sprintf("no 2 MiB pages of the pool: %v", err)
}

// found looks how much of mem, a mapping of its own, the kernel made of transparent huge pages, and if none, why.
func (p *Pages) found(mem []byte, field, setting string) {
	smaps, err := os.Open("/proc/self/smaps")
	if err == nil {
		defer smaps.Close()
		p.Large = smapsField(bufio.NewReader(smaps), uintptr(unsafe.Pointer(unsafe.SliceData(mem))), field)
	}
	if p.Large > 0 {
		p.Kind = PagesTransparent
		return
	}
	switch chosen := choice(setting); chosen {
	case "always", "madvise", "advise", "within_size", "force":
		p.Why += "; the kernel had no transparent ones"
	default:
		p.Why += fmt.Sprintf("; %s is %q", setting, chosen)
	}
}

// choice reads which of several words is in brackets.
func choice(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "not there"
	}
	_, after, _ := strings.Cut(string(text), "[")
	word, _, _ := strings.Cut(after, "]")
	return word
}

// smapsField is a field, in bytes, of the mapping that begins at start, from what /proc/PID/smaps holds; 0: it is not there.
func smapsField(smaps *bufio.Reader, start uintptr, field string) int {
	ours := false
	first := []byte(strconv.FormatUint(uint64(start), 16) + "-")
	for {
		line, err := smaps.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return 0
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		switch {
		case bytes.HasPrefix(line, first):
			ours = true
		case !ok || bytes.ContainsRune(name, ' '): // the first line of another mapping
			if ours {
				return 0
			}
		case ours && string(name) == field:
			kilobytes, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(string(value)), " kB"))
			if err != nil {
				return 0
			}
			return kilobytes << 10
		}
	}
}
