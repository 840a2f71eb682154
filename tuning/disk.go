package tuning

const groupDisk = "disk"

// diskItems are of the node directory's disk.
var diskItems = []Item{
	{Name: "disk write cache", Group: groupDisk, Wanted: "write through (power-loss protected)", Weight: 3, For: nodes,
		Why: "with a volatile cache each sync waits for the flash", How: "use an NVMe with power-loss protection", Look: lookDisk},
}

func lookDisk(h *Host, t Target) Finding {
	if t.Dir == "" {
		return unsupported("no directory given")
	}
	device, err := h.Device(t.Dir)
	if err != nil {
		return unsupported("%v", err)
	}
	cache, err := h.read("sys/class/block/" + device + "/queue/write_cache")
	if err != nil {
		return unreadable(err)
	}
	return verdict(cache == "write through", device+": "+cache)
}
