//go:build ignore

// The XDP program: it looks at every frame that the interface receives, hands those that are for us to the
// AF_XDP socket of the queue they came in on, and leaves all others to the kernel. "For us" is an untagged
// IPv4 UDP datagram, whole and without options, to one of the (address, port) pairs in the map endpoints.
// Every frame is counted once, by what became of it and by CPU.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

// What became of a frame. The order is that of the constants Decision* in decision.go.
enum decision {
	TAKEN,          // given to our socket
	NO_SOCKET,      // ours, but no socket serves the queue it came in on
	PASS_SHORT,     // no room for the headers
	PASS_NOT_IPV4,  // ARP, IPv6, ...
	PASS_NOT_UDP,   // TCP, ICMP, IGMP, ...
	PASS_HEADER,    // IP version or header length is impossible
	PASS_OPTIONS,   // IP options
	PASS_FRAGMENT,  // a fragment: only one of them would have ports
	PASS_LENGTH,    // the IP or UDP length does not fit the frame, or the two differ
	PASS_NOT_OURS,  // another address or port
	PASS_TAGGED,    // our address and port, but in a VLAN
	PASS_SOURCE,    // ours, but from an address that no host can have
	DECISIONS,
};

// DECISION_SLOTS counters a CPU, so that two CPUs share no cache line, nor a pair of them.
#define DECISION_SLOTS 16
#define VLAN_TAGS_MAX  2

struct endpoint {
	__be32 addr;
	__be16 port;
	__u16  zero;
};

struct vlan_header {
	__be16 tci;
	__be16 proto;
};

// The end points that are ours: the own address and the multicast groups, each with its port.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, struct endpoint);
	__type(value, __u32);
} endpoints SEC(".maps");

// The socket of each receive queue.
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

// [cpu][decision]: one writer a slot, read by user space through a mapping. In generic mode several CPUs can
// run the program for one queue, hence by CPU. The loader sets the size to the number of CPUs.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, DECISION_SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} decisions SEC(".maps");

static __always_inline int decide(int action, enum decision decision)
{
	__u32 slot = bpf_get_smp_processor_id() * DECISION_SLOTS + decision;
	__u64 *count = bpf_map_lookup_elem(&decisions, &slot);

	if (count)
		(*count)++;
	return action;
}

static __always_inline int impossible_source(__be32 addr)
{
	__u32 host = bpf_ntohl(addr);

	return host == 0 || host >= 0xe0000000; // none, multicast, reserved, broadcast
}

SEC("xdp")
int steer(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	void *next = eth + 1;
	int tagged = 0;
	__be16 proto;

	if (next > end)
		return decide(XDP_PASS, PASS_SHORT);
	proto = eth->h_proto;

#pragma unroll
	for (int i = 0; i < VLAN_TAGS_MAX; i++) {
		struct vlan_header *vlan = next;

		if (proto != bpf_htons(ETH_P_8021Q) && proto != bpf_htons(ETH_P_8021AD))
			break;
		if ((void *)(vlan + 1) > end)
			return decide(XDP_PASS, PASS_SHORT);
		proto = vlan->proto;
		next = vlan + 1;
		tagged = 1;
	}
	if (proto != bpf_htons(ETH_P_IP))
		return decide(XDP_PASS, PASS_NOT_IPV4);

	struct iphdr *ip = next;

	if ((void *)(ip + 1) > end)
		return decide(XDP_PASS, PASS_SHORT);
	if (ip->version != 4 || ip->ihl < 5)
		return decide(XDP_PASS, PASS_HEADER);
	if (ip->protocol != IPPROTO_UDP)
		return decide(XDP_PASS, PASS_NOT_UDP);
	if (ip->ihl != 5)
		return decide(XDP_PASS, PASS_OPTIONS);
	if (ip->frag_off & bpf_htons(0x3fff)) // more fragments, or an offset
		return decide(XDP_PASS, PASS_FRAGMENT);

	struct udphdr *udp = (void *)(ip + 1);
	__u32 total = bpf_ntohs(ip->tot_len);

	if ((void *)(udp + 1) > end)
		return decide(XDP_PASS, PASS_SHORT);
	// What follows the IP datagram is Ethernet padding; a datagram that is longer than its frame is broken.
	if (total < sizeof(*ip) + sizeof(*udp) || total > end - (void *)ip ||
	    bpf_ntohs(udp->len) != total - sizeof(*ip))
		return decide(XDP_PASS, PASS_LENGTH);

	struct endpoint to = { .addr = ip->daddr, .port = udp->dest, .zero = 0 };

	if (!bpf_map_lookup_elem(&endpoints, &to))
		return decide(XDP_PASS, PASS_NOT_OURS);
	if (tagged)
		return decide(XDP_PASS, PASS_TAGGED);
	if (impossible_source(ip->saddr))
		return decide(XDP_PASS, PASS_SOURCE);

	int action = bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_PASS);

	return decide(action, action == XDP_REDIRECT ? TAKEN : NO_SOCKET);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
