package tuning

import "io/fs"

const isolated = "sys/devices/system/cpu/isolated"

var hot = Target{Interface: "eth9", Dir: "/data", Cores: []int{2, 5}}

var bootCases = []itemCase{
	{item: "isolated cores", want: OK, files: map[string]string{isolated: "2-3,5\n"}, target: hot},
	{item: "isolated cores", want: NeedsReboot, files: map[string]string{isolated: "4\n"}, target: hot},
	{item: "isolated cores", want: NeedsReboot, files: map[string]string{isolated: "\n"}, target: hot},
	{item: "isolated cores", want: Unsupported, files: map[string]string{isolated: "x-y"}, target: hot},
	{item: "isolated cores", want: Unsupported, target: hot},
	{item: "isolated cores", want: NoPermission, refuse: map[string]error{isolated: fs.ErrPermission}, target: hot},
}
