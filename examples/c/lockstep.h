// A client of Lockstep in plain C: C11 and POSIX sockets, nothing else. It was written from docs/wire.md alone.
//
// A client is one object and one UDP socket, used by one thread. ls_send queues a message, ls_poll does all the work:
// it receives, calls the handlers, sends what is due. Nothing blocks and nothing is allocated after ls_open, which
// takes all the memory that the client will ever have.
//
//   ls_send --> window (a ring of messages, each kept until it is committed and acknowledged) --> datagrams
//   handlers <-- acknowledgements, responses in order <-- every datagram checked whole before it is used
//
// The session survives its leader: the client finds the next one, resumes, and sends again what is not committed.
// Every message is executed at most once, in the order of its correlations; every response is handed over once, in
// the order of its numbers; every acknowledgement level that was asked for is handed over once, in the order of levels.
#ifndef LOCKSTEP_H
#define LOCKSTEP_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LS_MAX_ADDRESSES 16 // nodes a client can know: those it is given, then those it is redirected to
#define LS_MAX_NAME 64
#define LS_MAX_MESSAGE 65536

enum { LS_ECHO = 1, LS_ORDER_BOOK = 2 }; // services

// Acknowledgement levels. A message asks for any set of them: LS_ASK(LS_SEQUENCED) | LS_ASK(LS_APPLIED).
enum { LS_NONE = 0, LS_RECEIVED = 1, LS_SEQUENCED = 2, LS_REPLICATED = 3, LS_DURABLE = 4, LS_APPLIED = 5 };
#define LS_ASK(level) ((uint8_t)(1u << (level)))

typedef struct ls_client ls_client;

// A message has reached a level that it asked for. Of LS_RECEIVED, sequence, position and timestamp may be 0.
typedef struct {
  uint64_t correlation, sequence, position, timestamp; // timestamp: ns since the Unix epoch
  uint32_t term;
  uint8_t level;
} ls_ack;

// A response. The payload is valid during the call only.
typedef struct {
  uint64_t number;      // dense from 1
  uint64_t correlation; // 0: no message of this session asked for it
  uint64_t sequence, position, timestamp;
  const uint8_t *payload;
  size_t length;
  uint16_t service;
  bool last; // no more follow for this correlation
} ls_response;

typedef enum {
  LS_CONNECTED = 1, // session, term, leader are set; also after every fail-over
  LS_LOST,          // the leader is silent or gone: looking for one; what is open stays open
  LS_BUSY,          // the cluster takes nothing at present, for `code`; it is tried again by itself
  LS_CLOSED,        // the end: for `code`. What was open and not acknowledged has an unknown outcome, unless settled
} ls_event_kind;

typedef struct {
  ls_event_kind kind;
  uint64_t session;
  uint32_t term, leader;
  uint16_t code;
  bool settled;     // of LS_CLOSED: the messages up to `applied` took effect, those beyond never will
  uint64_t applied; // a correlation
} ls_event;

// Handlers are called from ls_poll. They may call ls_send, ls_void and ls_close. Any may be null.
typedef struct {
  void *context;
  void (*ack)(void *context, const ls_ack *ack);
  void (*response)(void *context, const ls_response *response);
  void (*refused)(void *context, uint64_t correlation, uint16_t code); // for good: it has no effect
  void (*event)(void *context, const ls_event *event);
} ls_handlers;

// What is 0 is given its default.
typedef struct {
  uint64_t cluster;
  const struct sockaddr_in *nodes;
  size_t node_count;         // at least 1
  struct sockaddr_in local;  // to send from; any by default
  const char *name;          // 1 to 64 bytes of printable UTF-8
  uint32_t window;           // messages open at once: 256
  uint32_t window_bytes;     // of payload open at once: 1 MiB; at least LS_MAX_MESSAGE
  uint32_t flight_bytes;     // of payload sent and not committed: 96 KiB, so that no socket buffer runs over
  uint16_t datagram;         // longest datagram: 1472, an MTU of 1500
  uint32_t silence_ms;       // a leader that owes an answer for so long is given up: 300
  ls_handlers handlers;
} ls_options;

// ls_open makes a client and begins to connect; NULL with errno when it cannot. now is the time by ls_now.
ls_client *ls_open(const ls_options *options, int64_t now);

// ls_free ends the client. The session stays open in the cluster until it expires unless ls_close has closed it.
void ls_free(ls_client *c);

// ls_now is the time that this client goes by: nanoseconds of the monotonic clock.
int64_t ls_now(void);

// ls_fd is the socket, to be polled for input; ls_due is when ls_poll has something to do even without input.
int ls_fd(const ls_client *c);
int64_t ls_due(const ls_client *c);

// ls_poll does what is to be done at present, and returns how many datagrams it has received.
int ls_poll(ls_client *c, int64_t now);

typedef enum {
  LS_OK = 0,
  LS_FULL,     // the window is full: poll, then try again
  LS_TOO_LONG, // longer than the cluster's longest message
  LS_IS_CLOSED,
  LS_NOT_OPEN, // ls_void: the message is not open any more, its outcome was told
} ls_result;

// ls_send queues a message for the next ls_poll. levels is a set of LS_ASK, or 0. Its correlation goes to *correlation.
ls_result ls_send(ls_client *c, uint16_t service, uint8_t levels, const void *payload, size_t length,
                  uint64_t *correlation);

// ls_void asks that a message that is open have no effect. It comes to be either: the handler `refused` says voided
// (code 12), or the message was sequenced before and is acknowledged like any other.
ls_result ls_void(ls_client *c, uint64_t correlation);

// ls_close closes the session once everything open is settled; LS_CLOSED comes at the end, with code 7 or 0.
void ls_close(ls_client *c);

uint64_t ls_open_messages(const ls_client *c);
uint64_t ls_session(const ls_client *c);
uint64_t ls_dropped(const ls_client *c); // datagrams that were not valid or not for this session
bool ls_is_closed(const ls_client *c);

// ls_code_name is the name of a refusal in docs/wire.md, "unknown" for one that this client does not know.
const char *ls_code_name(uint16_t code);

#endif
