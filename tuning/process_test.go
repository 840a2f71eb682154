package tuning

const (
	limits     = "proc/self/limits"
	selfStatus = "proc/self/status"
)

var processCases = []itemCase{
	{item: "locked memory", want: OK, files: map[string]string{limits: "Max locked memory  unlimited unlimited bytes\n"}},
	{item: "locked memory", want: Differs, files: map[string]string{limits: "Max locked memory  65536 65536 bytes\n",
		selfStatus: "CapEff:\t0000000000000000\n"}},
	{item: "locked memory", want: OK, files: map[string]string{limits: "Max locked memory  65536 65536 bytes\n",
		selfStatus: "CapEff:\t0000000000004000\n"}},
	{item: "locked memory", want: Unsupported},
	{item: "open files", want: OK, files: map[string]string{limits: "Max open files 65536 65536 files\n"}},
	{item: "open files", want: OK, files: map[string]string{limits: "Max open files unlimited unlimited files\n"}},
	{item: "open files", want: Differs, files: map[string]string{limits: "Max open files 1024 1024 files\n"}},
	{item: "open files", want: Unsupported, files: map[string]string{limits: "Max processes 1 1\n"}},
	{item: "real-time priority", want: OK, files: map[string]string{limits: "Max realtime priority 0 0\n"}},
	{item: "real-time priority", want: Unsupported},
	{item: "capabilities", want: OK, files: map[string]string{selfStatus: "CapEff:\t000000c000007000\n"}},
	{item: "capabilities", want: OK, files: map[string]string{selfStatus: "CapEff:\t0000000000207000\n"}},
	{item: "capabilities", want: Differs, files: map[string]string{selfStatus: "CapEff:\t0000000000000000\n"}},
	{item: "capabilities", want: Unsupported, files: map[string]string{selfStatus: "Name:\tlockstep\n"}},
	{item: "capabilities", want: Unsupported},
}
