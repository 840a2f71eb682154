package tuning

const writeCache = "sys/class/block/nvme0n1/queue/write_cache"

// onDisk are a tree's mounts, with /data on nvme0n1.
func onDisk(files map[string]string) map[string]string {
	files["proc/self/mountinfo"] = "20 1 0:5 / / rw - tmpfs tmpfs rw\n21 20 259:1 / /data rw,noatime - xfs /dev/nvme0n1 rw\n"
	return files
}

var disk = map[string]string{"sys/dev/block/259:1": "../../devices/pci0000:00/nvme/nvme0/nvme0n1"}

var diskCases = []itemCase{
	{item: "disk write cache", want: OK, target: hot, links: disk, files: onDisk(map[string]string{writeCache: "write through"})},
	{item: "disk write cache", want: Differs, target: hot, links: disk,
		files: onDisk(map[string]string{writeCache: "write back"})},
	{item: "disk write cache", want: Unsupported, target: hot, links: disk, files: onDisk(map[string]string{})},
	{item: "disk write cache", want: Unsupported, target: Target{Dir: "/mem"}, links: disk, files: onDisk(map[string]string{})},
	{item: "disk write cache", want: Unsupported},
}
