package tuning

import "strings"

const hugePages = "sys/kernel/mm/transparent_hugepage/"

const dirty, dirtyBackground = vm + "dirty_ratio", vm + "dirty_background_ratio"

var memoryCases = append([]itemCase{
	{item: "swap", want: OK, files: map[string]string{"proc/swaps": "Filename Type Size\n"}},
	{item: "swap", want: Differs, files: map[string]string{"proc/swaps": "Filename Type Size\n/dev/sda2 partition 1\n"}},
	{item: "swap", want: Unsupported},
	{item: "transparent huge pages", want: OK, files: map[string]string{hugePages + "enabled": "always madvise [never]"}},
	{item: "dirty pages", want: OK, files: map[string]string{dirty: "10", dirtyBackground: "3"}},
	{item: "dirty pages", want: OK, files: map[string]string{dirty: "0", dirtyBackground: "0"}}, // limited in bytes
	{item: "dirty pages", want: Differs, files: map[string]string{dirty: "20", dirtyBackground: "10"}, mends: dirty + "=10"},
	{item: "dirty pages", want: Differs, files: map[string]string{dirty: "10", dirtyBackground: "10"},
		mends: dirtyBackground + "=3"},
	{item: "dirty pages", want: Unsupported},
	{item: "swappiness", want: Unsupported, files: map[string]string{vm + "swappiness": "much"}},
}, oneFile(
	"transparent huge pages", hugePages+"enabled", "always [madvise] never", "[always] madvise never", "madvise",
	"huge page compaction", hugePages+"defrag", "always defer defer+madvise [madvise] never",
	"[always] defer defer+madvise madvise never", "madvise",
	"huge page collapse", hugePages+"khugepaged/defrag", "0", "1", "0",
	"huge page pool", "proc/sys/vm/nr_hugepages", "64", "0", "32",
	"same-page merging", "sys/kernel/mm/ksm/run", "2", "1", "0",
	"NUMA balancing", "proc/sys/kernel/numa_balancing", "0", "1", "0",
	"zone reclaim", vm+"zone_reclaim_mode", "0", "1", "0",
	"swappiness", vm+"swappiness", "1", "60", "10",
	"proactive compaction", vm+"compaction_proactiveness", "0", "20", "0",
	"compaction of locked pages", vm+"compact_unevictable_allowed", "0", "1", "0",
	"watermark boost", vm+"watermark_boost_factor", "0", "15000", "0",
	"mappings", vm+"max_map_count", "1000000", "65530", "262144",
)...)

// oneFile are the cases of items that want something of one file: name, path, a text that is wanted, one that is not, and
// what that is changed to.
func oneFile(words ...string) []itemCase {
	var cases []itemCase
	for ; len(words) > 0; words = words[5:] {
		item, path, good, bad, mended := words[0], words[1], words[2], words[3], words[4]
		cases = append(cases,
			itemCase{item: item, want: OK, files: map[string]string{path: good}},
			itemCase{item: item, want: Differs, files: map[string]string{path: bad}, mends: path + "=" + mended},
			itemCase{item: item, want: NoPermission, files: map[string]string{path: bad}, refuse: readOnly(path)},
			itemCase{item: item, want: NoPermission, files: map[string]string{path: bad}, refuse: secret(path)},
			itemCase{item: item, want: Unsupported, files: map[string]string{strings.Replace(path, "/", "/not-", 1): bad}})
	}
	return cases
}
