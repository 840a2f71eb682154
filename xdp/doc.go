// Package xdp moves UDP datagrams past the kernel's network stack: AF_XDP sockets, the memory they share with the
// kernel, the XDP program that picks our datagrams out, and what a user-built frame needs to know of its neighbours.
//
// # Purpose
//
// An Endpoint serves one UDP end point, and the multicast groups it listens to, on one queue of one interface:
//
//	        one thread owns this side                       the kernel's side
//	+--------------------------------------------+
//	|  Receive   <---- rx ring <-----------------|---- XDP program <---- NIC queue
//	|  Release   ----> fill ring ----------------|---> frames for the NIC to fill
//	|                                            |
//	|  Take      <---- completion ring <---------|---- frames that are sent
//	|  Send, Flush --> tx ring ------------------|---> sendto() ----> NIC
//	+--------------------------------------------+
//	      |   reads                       ^ publishes a table, never locks
//	      v                               |
//	 neighbour table  <---------------- watcher (a goroutine of its own: netlink, ARP, link state)
//
// Everything that is not ours passes to the kernel: ARP, IGMP, TCP, other ports. Our datagrams are views of the shared
// memory (umem) until Release; nothing is copied on the way in, and what is sent is written in place.
//
// # Thread ownership
//
// One thread owns an Endpoint: Receive, Datagram, Release, Reclaim, Take, Give, Send, Flush and Audit belong to it.
// Stats, Link, Err, Reachable and Describe may be called from anywhere. Open and Close are cold; Open works in the
// network namespace of the calling thread, and what it opened stays there.
//
// # Memory ordering
//
// The four rings are single producer, single consumer, shared with the kernel. Each side publishes its own index with a
// release store, once a batch, and reads the other's with an acquire load, only when its cached copy is used up.
// Go's atomic loads and stores are stronger than that. The neighbour table is immutable and swapped by one atomic
// pointer.
//
// Frames are in two pools that never mix: received ones go fill, rx, app and back to fill; sent ones go free, app, tx,
// comp and back to free. Each has a mark that says who owns it, checked on every change of hands; Audit counts them
// all, about once a second.
//
// # Failure behaviour
//
// Open says in one sentence what is missing and how to get it: interface, capability, queue, port, mode. After that,
// bad frames, unknown neighbours, a full ring and a busy driver are counts (Stats), not errors. A socket whose frames
// the driver has lost is made anew in the background (rebuild.go): the owner has one meanwhile that leads nowhere.
// Err is set when the end point will not work again: the interface is gone or lost our program, its MTU shrank, the
// kernel gave a frame back twice, an audit found one missing, making the socket anew did not help. Whoever owns the
// end point then stops; the kernel detaches the program when the process ends, however it ends.
//
// # Limits
//
// IPv4 without options and fragments, untagged Ethernet, one queue. An MTU that fits a frame: 1778 with 2048-byte frames
// and 3826 with 4096-byte ones; a driver may take less in native mode (veth: 3506). Packets in several frames
// (multi-buffer) are refused. UDP checksums are neither made nor checked (zero is legal over IPv4): the payload must carry its
// own check. What is sent to the own host or to a joined group does not come back: AF_XDP has no loopback.
package xdp

//go:generate go tool bpf2go -tags linux -target bpfel steer steer.bpf.c -- -O2 -Wall -Wextra -Werror -I/usr/include/x86_64-linux-gnu
