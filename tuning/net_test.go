package tuning

import (
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"
)

// eth0 is the target of cases that have a driver.
var eth0 = Target{Interface: "eth0", Cores: []int{2, 5}}

var netCases = slices.Concat([]itemCase{
	{item: "interface", want: OK, target: hot, host: withLink(Link{Up: true, MTU: 1500, Driver: "ice"})},
	{item: "interface", want: Differs, target: hot, host: withLink(Link{Up: true, MTU: 1500, Driver: "e1000e"})},
	{item: "interface", want: Differs, target: hot, host: withLink(Link{MTU: 1500, Driver: "ice"})},
	{item: "interface", want: Differs, target: hot},
	{item: "interface", want: OK, target: hot,
		files: map[string]string{"sys/class/net/eth9/mtu": "9000", "sys/class/net/eth9/operstate": "up"},
		links: map[string]string{"sys/class/net/eth9/device/driver": "../../bus/pci/drivers/ice"}},
	{item: "interface", want: Unsupported},
	{item: "MTU", want: OK, target: hot, host: withLink(Link{MTU: 9000})},
	{item: "MTU", want: Differs, target: hot, host: withLink(Link{MTU: 1400})},
	{item: "MTU", want: Unsupported, target: hot},
}, driverCases(), stackCases, multicastCases, busCases)

func withLink(link Link) func(*Host) {
	return func(h *Host) { h.Link = func(string) (Link, error) { return link, nil } }
}

// withDriver has an interface eth0 whose driver is the one that nothing is right of, changed.
func withDriver(change func(*fakeDriver)) func(*Host) {
	return func(h *Host) {
		d := newFakeDriver()
		change(d)
		withLink(Link{Up: true, Multicast: true, MTU: 1500, Driver: "fake"})(h)
		h.Register(KindEthtool, Ethtool{Ask: d.ask})
	}
}

func driverCases() []itemCase {
	var cases []itemCase
	add := func(item string, want State, change func(*fakeDriver)) {
		cases = append(cases, itemCase{item: item, want: want, target: eth0, host: withDriver(change),
			files: map[string]string{online: "0-5"}})
	}
	as := func(*fakeDriver) {}
	gone := func(d *fakeDriver) { *d = fakeDriver{} }
	hidden := func(command uint32) func(*fakeDriver) {
		return func(d *fakeDriver) { d.refuse = map[uint32]error{command: unix.EPERM} }
	}

	add("NIC rings", OK, func(d *fakeDriver) { d.ring[4], d.ring[7] = 1024, 4096 })
	add("NIC rings", OK, func(d *fakeDriver) { d.ring[0], d.ring[3] = 512, 256; d.ring[7] = 256 })
	add("NIC rings", Differs, as)
	add("NIC rings", Differs, func(d *fakeDriver) { d.ring[4] = 4096 })
	add("NIC rings", Unsupported, gone)
	add("NIC rings", Unsupported, func(d *fakeDriver) { clear(d.ring) })
	add("NIC rings", NoPermission, hidden(unix.ETHTOOL_GRINGPARAM))

	add("interrupt coalescing", OK, func(d *fakeDriver) { clear(d.coalesce) })
	add("interrupt coalescing", Differs, as)
	add("interrupt coalescing", Differs, func(d *fakeDriver) { clear(d.coalesce); d.coalesce[0] = 3 })
	add("interrupt coalescing", Differs, func(d *fakeDriver) { clear(d.coalesce); d.coalesce[9] = 1 })
	add("interrupt coalescing", Unsupported, gone)
	add("interrupt coalescing", NoPermission, hidden(unix.ETHTOOL_GCOALESCE))

	add("NIC channels", OK, func(d *fakeDriver) { d.channels[7] = 4 })
	add("NIC channels", Differs, as)
	add("NIC channels", Differs, func(d *fakeDriver) { d.channels[4], d.channels[7] = 8, 0 })
	add("NIC channels", Differs, func(d *fakeDriver) { d.channels[4], d.channels[7] = 2, 4 })
	add("NIC channels", Unsupported, gone)

	add("flow steering", OK, as)
	add("flow steering", OK, func(d *fakeDriver) { d.features[36].active = true })
	add("flow steering", OK, func(d *fakeDriver) { d.features[36].available = false; d.channels[7] = 1 })
	add("flow steering", Differs, func(d *fakeDriver) { d.features[36].available = false })
	add("flow steering", Unsupported, gone)

	for item, i := range map[string]int{"large receive offload": 2, "hardware GRO": 33, "UDP GRO forwarding": 34,
		"VLAN stripping": 35} {
		add(item, OK, func(d *fakeDriver) { d.features[i].active = false })
		add(item, OK, func(d *fakeDriver) { d.features[i] = fakeFeature{name: d.features[i].name} })
		add(item, Differs, as)
		add(item, Immovable, func(d *fakeDriver) { d.features[i].available = false })
		add(item, Immovable, func(d *fakeDriver) { d.features[i].never = true })
		add(item, Unsupported, gone)
		add(item, NoPermission, hidden(unix.ETHTOOL_GFEATURES))
	}

	add("pause frames", OK, func(d *fakeDriver) { clear(d.pause) })
	add("pause frames", OK, func(d *fakeDriver) { d.pause[1], d.pause[2] = 0, 0 })
	add("pause frames", Differs, as)
	add("pause frames", Unsupported, gone)

	add("energy-efficient Ethernet", OK, func(d *fakeDriver) { d.eee[4] = 0 })
	add("energy-efficient Ethernet", Differs, as)
	add("energy-efficient Ethernet", Unsupported, func(d *fakeDriver) { clear(d.eee) })
	add("energy-efficient Ethernet", Unsupported, gone)
	return cases
}

const (
	class = "sys/class/net/eth9/"
	core  = "proc/sys/net/core/"
	ipv4  = "proc/sys/net/ipv4/"
)

// onEth9 are the files of an interface, and others.
func onEth9(files map[string]string) map[string]string {
	all := map[string]string{class + "ifindex": "7", class + "mtu": "1500", class + "flags": "0x1003"}
	for path, text := range files {
		all[path] = text
	}
	return all
}

// elsewhere is an interface that /sys shows another of.
var elsewhere = withLink(Link{Up: true, Index: 9, MTU: 1500})

var stackCases = []itemCase{
	{item: "receive packet steering", want: OK, target: hot,
		files: onEth9(map[string]string{class + "queues/rx-0/rps_cpus": "00000000,00000000"})},
	{item: "receive packet steering", want: Differs, target: hot, mends: class + "queues/rx-1/rps_cpus=0,00",
		files: onEth9(map[string]string{class + "queues/rx-0/rps_cpus": "0", class + "queues/rx-1/rps_cpus": "f,03"})},
	{item: "receive packet steering", want: Unsupported, target: hot, files: onEth9(nil)},
	{item: "receive packet steering", want: Unsupported, target: hot, host: elsewhere,
		files: onEth9(map[string]string{class + "queues/rx-0/rps_cpus": "f"})},
	{item: "receive packet steering", want: NoPermission, target: hot,
		files:  onEth9(map[string]string{class + "queues/rx-0/rps_cpus": "f"}),
		refuse: map[string]error{class + "queues/rx-0/rps_cpus": unix.EROFS}},

	{item: "receive flow steering", want: OK, target: hot, files: onEth9(map[string]string{class + "queues/rx-0/rps_flow_cnt": "0"})},
	{item: "receive flow steering", want: Differs, target: hot, mends: core + "rps_sock_flow_entries=0",
		files: onEth9(map[string]string{class + "queues/rx-0/rps_flow_cnt": "0", core + "rps_sock_flow_entries": "32768"})},
	{item: "receive flow steering", want: Unsupported, target: hot, files: onEth9(nil)},

	{item: "interrupt deferral", want: OK, target: hot,
		files: onEth9(map[string]string{class + "napi_defer_hard_irqs": "0", class + "gro_flush_timeout": "0"})},
	{item: "interrupt deferral", want: OK, target: hot,
		files: onEth9(map[string]string{class + "napi_defer_hard_irqs": "2", class + "gro_flush_timeout": "200000"})},
	{item: "interrupt deferral", want: Differs, target: hot, mends: class + "napi_defer_hard_irqs=0",
		files: onEth9(map[string]string{class + "napi_defer_hard_irqs": "100", class + "gro_flush_timeout": "200000"})},
	{item: "interrupt deferral", want: Unsupported, target: hot, files: onEth9(nil)},

	{item: "busy polling by default", want: OK, files: map[string]string{core + "busy_read": "0", core + "busy_poll": "0"}},
	{item: "busy polling by default", want: Differs, mends: core + "busy_read=0",
		files: map[string]string{core + "busy_read": "50", core + "busy_poll": "0"}},
	{item: "busy polling by default", want: Unsupported, files: map[string]string{core + "busy_read": "0"}},

	{item: "socket buffer limits", want: OK, files: map[string]string{core + "rmem_max": "8388608", core + "wmem_max": "16777216"}},
	{item: "socket buffer limits", want: Differs, mends: core + "wmem_max=8388608",
		files: map[string]string{core + "rmem_max": "8388608", core + "wmem_max": "212992"}},
	{item: "socket buffer limits", want: Unsupported, files: map[string]string{core + "rmem_max": "plenty"}},
	{item: "socket buffer limits", want: Unsupported},

	{item: "device backlog", want: OK, files: map[string]string{core + "netdev_max_backlog": "10000"}},
	{item: "device backlog", want: Differs, mends: core + "netdev_max_backlog=10000",
		files: map[string]string{core + "netdev_max_backlog": "1000"}},
	{item: "device backlog", want: NoPermission, files: map[string]string{core + "netdev_max_backlog": "1000"},
		refuse: map[string]error{core + "netdev_max_backlog": fs.ErrPermission}},
	{item: "device backlog", want: Unsupported},

	{item: "BPF compiler", want: OK, files: map[string]string{core + "bpf_jit_enable": "1"}},
	{item: "BPF compiler", want: Differs, files: map[string]string{core + "bpf_jit_enable": "0"}},
	{item: "BPF compiler", want: Unsupported},
}

// querier are the files of bridge br0.
func querier(snooping, querier string) map[string]string {
	return onEth9(map[string]string{"sys/class/net/br0/bridge/multicast_snooping": snooping,
		"sys/class/net/br0/bridge/multicast_querier": querier})
}

var port = map[string]string{class + "brport/bridge": "../../br0"}

var multicastCases = []itemCase{
	{item: "multicast", want: OK, target: hot, files: onEth9(nil)},
	{item: "multicast", want: Differs, target: hot, files: onEth9(map[string]string{class + "flags": "0x3"})},
	{item: "multicast", want: Unsupported, target: hot},

	{item: "IGMP version", want: OK, target: hot, files: onEth9(map[string]string{
		ipv4 + "conf/all/force_igmp_version": "0", ipv4 + "conf/eth9/force_igmp_version": "2"})},
	{item: "IGMP version", want: Differs, target: hot, mends: ipv4 + "conf/eth9/force_igmp_version=0",
		files: onEth9(map[string]string{
			ipv4 + "conf/all/force_igmp_version": "0", ipv4 + "conf/eth9/force_igmp_version": "1"})},
	{item: "IGMP version", want: Unsupported, target: hot, files: onEth9(nil)},

	{item: "group memberships", want: OK, files: map[string]string{ipv4 + "igmp_max_memberships": "20"}},
	{item: "group memberships", want: Differs, files: map[string]string{ipv4 + "igmp_max_memberships": "4"}},
	{item: "group memberships", want: Unsupported},

	{item: "reverse path filter", want: OK, target: hot,
		files: onEth9(map[string]string{ipv4 + "conf/all/rp_filter": "0", ipv4 + "conf/eth9/rp_filter": "0"})},
	{item: "reverse path filter", want: OK, target: hot,
		files: onEth9(map[string]string{ipv4 + "conf/all/rp_filter": "2", ipv4 + "conf/eth9/rp_filter": "1"})},
	{item: "reverse path filter", want: Differs, target: hot, mends: ipv4 + "conf/eth9/rp_filter=2",
		files: onEth9(map[string]string{ipv4 + "conf/all/rp_filter": "1", ipv4 + "conf/eth9/rp_filter": "0"})},
	{item: "reverse path filter", want: Unsupported, target: hot, files: onEth9(nil)},

	{item: "IGMP querier", want: OK, target: hot, links: port, files: querier("1", "1")},
	{item: "IGMP querier", want: OK, target: hot, links: port, files: querier("0", "0")},
	{item: "IGMP querier", want: Differs, target: hot, links: port, files: querier("1", "0"),
		mends: "sys/class/net/br0/bridge/multicast_querier=1"},
	{item: "IGMP querier", want: Differs, target: Target{Interface: "br0"}, mends: "sys/class/net/br0/bridge/multicast_querier=1",
		files: map[string]string{"sys/class/net/br0/ifindex": "8", "sys/class/net/br0/mtu": "1500",
			"sys/class/net/br0/bridge/multicast_snooping": "1", "sys/class/net/br0/bridge/multicast_querier": "0"}},
	{item: "IGMP querier", want: Unsupported, target: hot, files: onEth9(nil)},
}

// card are the files of a card in a slot of node 1, which has cores 2 to 5.
func card(files map[string]string) map[string]string {
	all := onEth9(map[string]string{class + "device/numa_node": "1", "sys/devices/system/node/node1/cpulist": "2-7",
		class + "device/current_link_speed": "8.0 GT/s PCIe", class + "device/max_link_speed": "8.0 GT/s PCIe",
		class + "device/current_link_width": "8", class + "device/max_link_width": "8",
		class + "device/msi_irqs/40": "msix", class + "device/msi_irqs/41": "msix", class + "device/msi_irqs/42": "msix",
		"proc/irq/40/effective_affinity_list": "3", "proc/irq/41/smp_affinity_list": "4,6"})
	for path, text := range files {
		all[path] = text
	}
	return all
}

var busCases = []itemCase{
	{item: "NIC memory node", want: OK, target: hot, files: card(nil)},
	{item: "NIC memory node", want: Differs, target: Target{Interface: "eth9", Cores: []int{1, 2}}, files: card(nil)},
	{item: "NIC memory node", want: Unsupported, target: Target{Interface: "eth9"}, files: card(nil)},
	{item: "NIC memory node", want: Unsupported, target: hot, files: card(map[string]string{class + "device/numa_node": "-1"})},
	{item: "NIC memory node", want: Unsupported, target: hot, files: onEth9(nil)},

	{item: "PCIe link", want: OK, target: hot, files: card(nil)},
	{item: "PCIe link", want: Differs, target: hot, files: card(map[string]string{class + "device/current_link_width": "4"})},
	{item: "PCIe link", want: Differs, target: hot,
		files: card(map[string]string{class + "device/current_link_speed": "5.0 GT/s PCIe"})},
	{item: "PCIe link", want: Unsupported, target: hot, files: card(map[string]string{class + "device/current_link_speed": "Unknown"})},
	{item: "PCIe link", want: Unsupported, target: hot, files: onEth9(nil)},

	{item: "NIC queue interrupts", want: OK, target: hot, files: card(nil)},
	{item: "NIC queue interrupts", want: Differs, target: hot, files: card(map[string]string{"proc/irq/42/smp_affinity_list": "5"})},
	{item: "NIC queue interrupts", want: Differs, target: hot, files: card(map[string]string{"proc/irq/42/smp_affinity_list": "0"})},
	{item: "NIC queue interrupts", want: OK, target: hot, files: card(map[string]string{class + "device/numa_node": "-1",
		"proc/irq/42/smp_affinity_list": "0"})},
	{item: "NIC queue interrupts", want: Unsupported, target: hot, files: onEth9(nil)},
}
