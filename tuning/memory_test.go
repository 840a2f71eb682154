package tuning

const hugePages = "sys/kernel/mm/transparent_hugepage/enabled"

var memoryCases = []itemCase{
	{item: "transparent huge pages", want: OK, files: map[string]string{hugePages: "always [madvise] never"}},
	{item: "transparent huge pages", want: Differs, files: map[string]string{hugePages: "[always] madvise never"},
		mends: hugePages + "=madvise"},
	{item: "transparent huge pages", want: Unsupported},
	{item: "swap", want: OK, files: map[string]string{"proc/swaps": "Filename Type Size\n"}},
	{item: "swap", want: Differs, files: map[string]string{"proc/swaps": "Filename Type Size\n/dev/sda2 partition 1\n"}},
	{item: "swap", want: Unsupported},
}
