package tuning

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const groupDisk = "disk"

// diskItems are of the node directory's disk and file system.
var diskItems = slices.Concat([]Item{
	{Name: "disk scheduler", Group: groupDisk, Wanted: "none", Weight: 3, For: servers,
		Why:  "a scheduler holds a sync back to sort it among others",
		Look: onDisks(queueFile("scheduler", "none"))},
	{Name: "merging of requests", Group: groupDisk, Wanted: "off (nomerges 2)", Weight: 1, For: servers,
		Why:  "looking for a request to merge with costs time, and the journal's writes are as long as they should be",
		Look: onDisks(queueFile("nomerges", "2"))},
	{Name: "disk completion", Group: groupDisk, Wanted: "on the core that asked (rq_affinity 2)", Weight: 1, For: servers,
		Why:  "a completion on another core of the same group is work for that core",
		Look: onDisks(queueFile("rq_affinity", "2"))},
	{Name: "writeback throttling", Group: groupDisk, Wanted: "off (wbt_lat_usec 0)", Weight: 3, For: servers,
		Why:  "the kernel holds buffered writes back by a target of its own, and a snapshot is a buffered write",
		Look: onDisks(queueFile("wbt_lat_usec", "0"))},
	{Name: "disk statistics", Group: groupDisk, Wanted: "off (iostats 0)", Weight: 1, For: servers,
		Why:  "counting costs two stamps a request",
		Look: onDisks(queueFile("iostats", "0"))},
	{Name: "disk write cache", Group: groupDisk, Wanted: "write through (power-loss protected)", Weight: 5, For: nodes,
		Why:  "what is in a volatile cache is lost with the power, so that each sync waits for the flash",
		How:  "use an NVMe with power-loss protection; a sync is worth what the device makes of a flush",
		Look: onDisks(lookWriteCache)},
	{Name: "NVMe power saving", Group: groupDisk, Wanted: "off (APST)", Weight: 3, For: servers,
		Why:  "a drive that has dozed off takes up to tens of milliseconds for the next sync",
		Look: onDisks(lookAPST)},
}, mountItems)

// onDisks is a look at every disk below the node directory: the worst of what is found, with the settings of all.
func onDisks(look func(h *Host, disk string) Finding) func(*Host, Target) Finding {
	return func(h *Host, t Target) Finding {
		if t.Dir == "" {
			return unsupported("no directory given")
		}
		device, err := h.Device(t.Dir)
		if err != nil {
			return unsupported("%v", err)
		}
		var all []Finding
		for _, disk := range h.disksBelow(device, 0) {
			f := look(h, disk)
			f.Current = disk + ": " + f.Current
			all = append(all, f)
		}
		return worst(all)
	}
}

// maxStack is how many devices may lie on each other.
const maxStack = 8

// disksBelow are the disks that a device is made of: itself, unless it is a RAID or a volume.
func (h *Host) disksBelow(device string, depth int) []string {
	slaves := h.glob("sys/class/block/" + device + "/slaves/*")
	if len(slaves) == 0 || depth == maxStack {
		return []string{device}
	}
	var disks []string
	for _, s := range slaves {
		for _, d := range h.disksBelow(h.wholeDisk(filepath.Base(s)), depth+1) {
			if !slices.Contains(disks, d) {
				disks = append(disks, d)
			}
		}
	}
	return disks
}

// wholeDisk is the disk that a partition is of.
func (h *Host) wholeDisk(device string) string {
	dir := filepath.Join(h.Root, "sys/class/block", device)
	link, err := os.Readlink(dir)
	if _, partition := os.Stat(dir + "/partition"); err != nil || partition != nil {
		return device
	}
	return filepath.Base(filepath.Dir(link))
}

// worst puts findings of several devices together.
func worst(all []Finding) Finding {
	f := all[0]
	for _, g := range all[1:] {
		f.Current += ", " + g.Current
		f.Settings = append(f.Settings, g.Settings...)
		f.Boot = append(f.Boot, g.Boot...)
		if g.State.Wrong() && !f.State.Wrong() || f.State == Unsupported {
			f.State, f.Fix = g.State, g.Fix
		}
	}
	return f
}

// queueFile wants a value of a disk's request queue.
func queueFile(name, wanted string) func(*Host, string) Finding {
	return func(h *Host, disk string) Finding {
		path := "sys/class/block/" + disk + "/queue/" + name
		v, err := h.read(path)
		switch {
		case err != nil:
			return unreadable(err)
		case v == wanted:
			return ok(v)
		}
		return h.change(v, Setting{KindFile, path, wanted})
	}
}

// lookWriteCache believes what the kernel believes of the cache, unless a SCSI disk says otherwise: a cache that somebody has
// declared to be write through is never flushed.
func lookWriteCache(h *Host, disk string) Finding {
	dir := "sys/class/block/" + disk
	cache, err := h.read(dir + "/queue/write_cache")
	if err != nil {
		return unreadable(err)
	}
	for _, path := range h.glob(dir + "/device/scsi_disk/*/cache_type") {
		if own, err := h.read(path); err == nil && cache == "write through" && strings.HasPrefix(own, "write back") {
			f := differs("the disk has a volatile cache, and the kernel was told not to flush it: a sync is worth nothing")
			f.Fix = fmt.Sprintf("echo 'write back' > /%s/queue/write_cache", dir)
			return f
		}
	}
	if cache == "write through" {
		return ok(cache)
	}
	fua, _ := h.read(dir + "/queue/fua")
	current := "write back, each sync flushes the cache"
	if fua == "1" {
		current = "write back, each durable write goes past the cache (FUA)"
	}
	return differs(current)
}

func lookAPST(h *Host, disk string) Finding {
	if !strings.HasPrefix(disk, "nvme") {
		return unsupported("not an NVMe drive")
	}
	own := "sys/class/block/" + disk + "/device/power/pm_qos_latency_tolerance_us"
	switch v, err := h.read(own); {
	case err == nil && v == "0":
		return ok("off")
	case err == nil:
		return h.change("states of up to "+v+" us", Setting{KindFile, own, "0"})
	case !errors.Is(err, os.ErrNotExist):
		return unreadable(err)
	}
	v, err := h.read("sys/module/nvme_core/parameters/default_ps_max_latency_us")
	switch {
	case err != nil:
		return unreadable(err)
	case v == "0":
		return ok("off")
	}
	return reboot("states of up to "+v+" us", "nvme_core.default_ps_max_latency_us=0")
}
