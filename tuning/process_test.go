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
}
