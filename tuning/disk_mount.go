package tuning

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// mountItems are of the node directory's file system.
var mountItems = []Item{
	{Name: "file system", Group: groupDisk, Wanted: "ext4 or xfs", Weight: 5, For: servers,
		Why: "one in memory or over the network keeps no log, and one that copies on write has no preallocation",
		How: "put the node directory on ext4 or xfs of a local disk", Look: onMount(lookFileSystem)},
	{Name: "write barriers", Group: groupDisk, Wanted: "on", Weight: 10, For: nodes,
		Why: "without barriers a sync does not reach the disk: what was acknowledged is lost with the power",
		How: "mount without nobarrier (barrier=0)", Look: onMount(lookBarriers)},
	{Name: "mount options", Group: groupDisk, Wanted: "noatime, no discard", Weight: 1, For: servers,
		Why:  "a read that writes its time, and a removed segment that is trimmed at once, both stand in the way of a sync",
		Look: onMount(lookMountOptions)},
	{Name: "free space", Group: groupDisk, Wanted: "10 % and 4 GiB or more", Weight: 3, For: nodes,
		Why: "a node without space for the next segment takes no more messages",
		How: "see docs/operations.md, Full disk", Look: lookSpace},
}

// mount is a line of mountinfo.
type mount struct {
	point, kind string
	options     []string // of the mount and of the file system
}

// onMount is a look at the mount that the node directory is on.
func onMount(look func(m mount) Finding) func(*Host, Target) Finding {
	return func(h *Host, t Target) Finding {
		if t.Dir == "" {
			return unsupported("no directory given")
		}
		m, err := h.mountOf(t.Dir)
		if err != nil {
			return unreadable(err)
		}
		if m.kind == "" {
			return unsupported("no mount is known for %s", t.Dir)
		}
		return look(m)
	}
}

// mountOf is the last of the mounts with the longest point that a directory is below.
func (h *Host) mountOf(dir string) (found mount, err error) {
	text, err := h.read("proc/self/mountinfo")
	if err != nil {
		return found, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return found, err
	}
	if h.Root == "/" {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			dir = real
		}
	}
	for line := range strings.Lines(text) {
		before, after, _ := strings.Cut(line, " - ")
		words, of := strings.Fields(before), strings.Fields(after)
		if len(words) < 6 || len(of) < 3 {
			continue
		}
		point := unescape(words[4])
		at := strings.TrimSuffix(point, "/")
		if (dir == at || strings.HasPrefix(dir, at+"/")) && len(point) >= len(found.point) {
			found = mount{point, of[0], append(strings.Split(words[5], ","), strings.Split(of[2], ",")...)}
		}
	}
	return found, nil
}

// unescape undoes what the kernel does to spaces in paths.
func unescape(path string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(path)
}

func (m *mount) has(options ...string) bool {
	return slices.ContainsFunc(options, func(o string) bool { return slices.Contains(m.options, o) })
}

func lookFileSystem(m mount) Finding {
	current := m.kind + " on " + m.point
	switch m.kind {
	case "tmpfs", "ramfs":
		current += ": in memory, gone with the power"
	case "nfs", "nfs4", "cifs", "fuse", "9p", "ceph":
		current += ": not local"
	}
	return verdict(m.kind == "ext4" || m.kind == "xfs", current)
}

func lookBarriers(m mount) Finding {
	switch m.kind {
	case "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs":
	default:
		return unsupported("%s has none", m.kind)
	}
	if m.has("nobarrier", "barrier=0") {
		f := differs("off")
		f.Fix = fmt.Sprintf("mount -o remount,barrier %s, and take nobarrier out of /etc/fstab", m.point)
		return f
	}
	return ok("on")
}

func lookMountOptions(m mount) Finding {
	var wrong, remount []string
	if !m.has("noatime") {
		wrong, remount = append(wrong, "atime"), append(remount, "noatime")
		if m.has("relatime") {
			wrong[0] = "relatime"
		}
	}
	if m.has("discard") {
		wrong, remount = append(wrong, "discard"), append(remount, "nodiscard")
	}
	if wrong == nil {
		return ok("noatime, no discard")
	}
	f := differs(strings.Join(wrong, ", "))
	f.Fix = fmt.Sprintf("mount -o remount,%s %s, and the same in /etc/fstab", strings.Join(remount, ","), m.point)
	return f
}

// The least free space that is wanted.
const (
	spaceWanted        = 4 << 30
	spacePercentWanted = 10
)

func lookSpace(h *Host, t Target) Finding {
	if t.Dir == "" {
		return unsupported("no directory given")
	}
	free, all, err := h.Space(t.Dir)
	if err != nil {
		return unreadable(err)
	}
	current := fmt.Sprintf("%.1f of %.1f GiB", float64(free)/(1<<30), float64(all)/(1<<30))
	return verdict(free >= spaceWanted && free >= all/100*spacePercentWanted, current)
}

// fileSpace asks the file system of a directory, or of the nearest above it that is there.
func fileSpace(dir string) (free, all uint64, err error) {
	var st unix.Statfs_t
	for {
		err := unix.Statfs(dir, &st)
		if err == nil {
			return st.Bavail * uint64(st.Bsize), st.Blocks * uint64(st.Bsize), nil
		}
		if up := filepath.Dir(dir); err == unix.ENOENT && up != dir {
			dir = up
			continue
		}
		return 0, 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
}
