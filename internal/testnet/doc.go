// Package testnet builds a small Ethernet out of network namespaces, for system tests and for trying a cluster on one
// machine.
//
// # Purpose
//
// A Net is a switch (a bridge, in a namespace of its own) and members, each a namespace with one interface eth0 on
// it:
//
//	 member 1            member 2            member 3
//	 10.77.0.1/24        10.77.0.2/24        10.77.0.3/24
//	   eth0                eth0                eth0
//	    |                   |                   |
//	+--port1---------------port2---------------port3--+
//	|             bridge, no snooping                 |   hub
//	+-------------------------------------------------+
//
// Functions run and processes start inside a member; a member can be cut off, one way or both, and healed. Disturb has
// datagrams of all members get lost, come twice, late, again or changed: a program on the bridge drops them, and this
// process carries them in its place. The bridge
// floods multicast to every port: there is no querier that would keep memberships alive.
//
// # Thread ownership
//
// All methods may be called from any goroutine. A function given to Do runs on the calling goroutine, whose OS thread
// is inside the member's namespace meanwhile; goroutines that it starts are not. Sockets stay in the namespace that
// they were opened in.
//
// Processes are started from one OS thread that lives as long as the Net: the kernel ties the parent-death signal to
// the thread that forked, not to the process. A Keeper does that alone, without any network, for users who may not make
// namespaces.
//
// # Failure behaviour
//
// Nothing is mounted and nothing has a name: namespaces are held by file descriptors of this process and by the
// processes in them. When this process dies, however it dies, its children are killed, and the kernel takes the
// namespaces, the bridge and the interfaces away. Close does the same at once.
//
// # Limits
//
// Linux, CAP_SYS_ADMIN and CAP_NET_ADMIN (Available says what is missing), up to 64 members, IPv4; IPv6 is off inside.
// Cutting and disturbing need CAP_BPF as well, and cls_bpf in the kernel; disturbing carries tens of thousands of
// datagrams a second.
package testnet
