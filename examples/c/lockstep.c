// The session. Data flow of this file: options and memory, sending datagrams, finding a leader, the window and what is
// transmitted of it, answers, datagrams as they come in, time, and the calls of lockstep.h that tie these together.
#define _POSIX_C_SOURCE 200809L

#include "lockstep.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "wire.h"

#define MS 1000000LL

enum {
  CONNECT_MS = 60,       // a node that does not answer CONNECT for so long is passed over
  PROVE_MS = 100,        // PROVE is sent again
  PROVES = 5,            // so often, then another node is tried
  CONNECT_MAX_MS = 1000, // longest pause between attempts
  RESEND_MS = 100,       // without progress, what is not committed is sent again; doubled each time
  RESEND_MAX_MS = 800,
  ASK_MS = 100,          // KEEPALIVE while messages are open
  ACK_MS = 20,           // responses are acknowledged after so long at most
  ACK_RESPONSES = 32,    // or when there are so many,
  ACK_BYTES = 32 << 10,  // or so many bytes of them
  HOLE_MS = 5,           // between two requests for the same missing response
  GAP_MS = 3,            // between two answers to gap: the same one again may have left before the first was filled
  CLOSE_MS = 50,         // DISCONNECT is sent again
  BUSY_MIN_MS = 1,       // pause after a busy; doubled while nothing gets on
  BUSY_MAX_MS = 200,
  IDLE_MS = 1000,        // KEEPALIVE of an idle session where the leader does not say what it asks for
  TAKE = 64,             // datagrams received in one ls_poll
};

typedef enum { SEARCHING, PROVING, ONLINE, CLOSED } state;

// One message of the window.
typedef struct {
  uint64_t start; // of its payload, counted in all bytes ever sent
  uint32_t length;
  uint16_t service;
  uint8_t levels;
  uint8_t reached; // level up to which acknowledgements were handed over
  bool voided;     // asked to have no effect
  bool refused;
} message;

struct ls_client {
  ls_options o;
  wire_crc crc;
  int fd;
  state state;
  bool closing;
  bool lost_told; // LS_LOST was handed over since the last LS_CONNECTED
  char name[LS_MAX_NAME];
  size_t name_length;
  uint64_t random;

  struct sockaddr_in node[LS_MAX_ADDRESSES];
  size_t node_count, at; // at: the node that is asked, and later the one that leads
  uint64_t token, session, nonce;
  uint32_t term, leader, granted, max_message, silence_ms;
  size_t hops;     // nodes tried since the last pause
  bool stay;       // the next attempt asks the same node again
  int proves;
  int64_t pause_ms;  // between attempts
  int64_t act_at;    // next attempt, PROVE or DISCONNECT
  int64_t owed_since; // when something was sent that no answer has come to yet; 0: nothing is owed
  int64_t sent_at;   // last datagram

  message *window; // by correlation modulo its length, a power of two
  uint64_t mask;
  uint8_t *bytes; // the window's payloads, a ring
  uint64_t bytes_end;
  uint64_t first, next; // correlations: first that is held, next to be given
  uint64_t send;        // next to be transmitted
  uint32_t send_offset; // of its payload, when it goes in fragments
  uint64_t committed;
  int64_t progress_at, resend_ms;
  int64_t hold_until, busy_ms; // a busy cluster
  uint64_t gap; // asked for, to be sent again from gap_at on; 0: none is
  int64_t gap_at;
  uint16_t busy_code; // last told

  uint64_t received, received_told; // responses: in order up to here; the cluster was told up to there
  uint32_t received_bytes;          // since it was told
  int64_t received_at;              // first since it was told
  int64_t hole_at;                  // a response is missing: ask for it then; 0: none is
  int64_t asked_at;                 // when it was asked for last
  uint8_t *assembly;                // response received + 1, when it comes in fragments
  uint32_t assembly_total, assembly_have;

  uint64_t dropped;
  uint8_t *in, *out;
  size_t out_length; // of a MESSAGES that is being filled; 0: none
};

static uint64_t roll(ls_client *c) {
  c->random ^= c->random << 13;
  c->random ^= c->random >> 7;
  c->random ^= c->random << 17;
  return c->random;
}

// jitter is ms milliseconds, a quarter more or less, so that many clients do not beat in step.
static int64_t jitter(ls_client *c, int64_t ms) {
  return ms * MS * 3 / 4 + (int64_t)(roll(c) % (uint64_t)(ms * MS / 2 + 1));
}

static void tell(ls_client *c, ls_event_kind kind, uint16_t code) {
  ls_event e = {.kind = kind, .session = c->session, .term = c->term, .leader = c->leader, .code = code};
  if (c->o.handlers.event != NULL) c->o.handlers.event(c->o.handlers.context, &e);
}

static void end(ls_client *c, uint16_t code) {
  if (c->state == CLOSED) return;
  c->state = CLOSED;
  tell(c, LS_CLOSED, code);
}

// ended is the end as the cluster tells it: with the last message that was applied.
static void ended(ls_client *c, const wire_answer *x) {
  ls_event e = {.kind = LS_CLOSED, .session = c->session, .term = c->term, .leader = c->leader, .code = x->code,
                .settled = true, .applied = x->correlation};
  c->state = CLOSED;
  if (c->o.handlers.event != NULL) c->o.handlers.event(c->o.handlers.context, &e);
}

// transmit seals the n bytes of c->out and sends them to the node at c->at. What the socket does not take is lost on
// the way like any other datagram.
static bool transmit(ls_client *c, uint8_t kind, size_t n, int64_t now) {
  wire_header h = {.cluster = c->o.cluster, .sender = c->session, .term = c->term, .kind = kind};
  wire_seal(&c->crc, c->out, n, &h);
  const struct sockaddr_in *to = &c->node[c->at];
  c->sent_at = now;
  if (c->owed_since == 0) c->owed_since = now;
  return sendto(c->fd, c->out, n, 0, (const struct sockaddr *)to, sizeof *to) == (ssize_t)n;
}

static wire_hello hello(const ls_client *c) {
  return (wire_hello){c->token, c->session, c->received, c->nonce, c->o.window, c->name, c->name_length};
}

static void send_connect(ls_client *c, int64_t now) {
  wire_hello x = hello(c);
  c->state = SEARCHING;
  transmit(c, KIND_CONNECT, WIRE_HEADER + wire_put_connect(c->out + WIRE_HEADER, &x), now);
}

static void send_prove(ls_client *c, int64_t now) {
  wire_hello x = hello(c);
  c->state = PROVING;
  c->act_at = now + jitter(c, PROVE_MS);
  transmit(c, KIND_PROVE, WIRE_HEADER + wire_put_prove(c->out + WIRE_HEADER, &x), now);
}

// send_bare sends KEEPALIVE or DISCONNECT, or MESSAGES without a message.
static void send_bare(ls_client *c, uint8_t kind, int64_t now) {
  wire_put_u64(c->out + WIRE_HEADER, c->received);
  c->received_told = c->received;
  c->received_bytes = 0;
  c->received_at = 0;
  transmit(c, kind, WIRE_HEADER + WIRE_MESSAGES, now);
}

// tell_received says what responses are here. It asks for nothing: KEEPALIVE would have those repeated
// that are on their way.
static void tell_received(ls_client *c, int64_t now) {
  int64_t owed_since = c->owed_since;
  send_bare(c, KIND_MESSAGES, now);
  c->owed_since = owed_since; // no answer is owed for it
}

// ---- Finding a leader

// seek asks a node for the session. Within a round of all nodes the next is asked at once; after it comes a pause.
static void seek(ls_client *c, size_t node, int64_t now) {
  c->at = node;
  c->state = SEARCHING;
  if (c->hops >= c->node_count + 1) return; // at act_at
  c->hops++;
  c->act_at = now + jitter(c, c->pause_ms);
  send_connect(c, now);
}

static void seek_next(ls_client *c, int64_t now) { seek(c, (c->at + 1) % c->node_count, now); }

// lose leaves a leader that has gone.
static void lose(ls_client *c, int64_t now) {
  if (!c->lost_told) tell(c, LS_LOST, 0);
  c->lost_told = true;
  c->hops = 0;
  c->pause_ms = CONNECT_MS;
  c->act_at = now;
}

// find is the place of an address among the nodes; it learns one that is new while there is room.
static size_t find(ls_client *c, uint32_t ip, uint16_t port, bool learn) {
  for (size_t i = 0; i < c->node_count; i++)
    if (c->node[i].sin_addr.s_addr == ip && c->node[i].sin_port == port) return i;
  if (!learn || c->node_count == LS_MAX_ADDRESSES) return LS_MAX_ADDRESSES;
  c->node[c->node_count] =
      (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = ip};
  return c->node_count++;
}

static void on_challenge(ls_client *c, size_t from, const uint8_t *b, size_t n, int64_t now) {
  wire_challenge x;
  if (!wire_get_challenge(b, n, &x) || x.token != c->token || c->state == ONLINE ||
      (c->state == PROVING && from != c->at)) {
    c->dropped++;
    return;
  }
  c->at = from;
  c->nonce = x.nonce;
  c->proves = 0;
  send_prove(c, now);
}

static void on_accept(ls_client *c, size_t from, const uint8_t *b, size_t n, int64_t now) {
  wire_accept x;
  if (!wire_get_accept(b, n, &x) || x.token != c->token || c->state == ONLINE || x.term < c->term ||
      (c->session != 0 && x.session != c->session) || x.correlation >= c->next) {
    c->dropped++;
    return;
  }
  if (x.correlation + 1 < c->first) { // of what was committed, and is forgotten here, the cluster has lost some
    end(c, CODE_UNKNOWN_SESSION);
    return;
  }
  c->state = ONLINE;
  c->stay = false;
  c->hops = 0;
  c->pause_ms = CONNECT_MS;
  c->at = from;
  c->session = x.session;
  c->term = x.term;
  c->leader = x.leader;
  c->granted = x.window;
  c->max_message = x.max_message < LS_MAX_MESSAGE ? x.max_message : LS_MAX_MESSAGE;
  c->silence_ms = x.silence_ms;
  if (x.correlation > c->committed) c->committed = x.correlation;
  c->send = c->first; // what is committed and not acknowledged goes again, too: its acknowledgement was lost
  c->send_offset = 0;
  c->progress_at = now;
  c->resend_ms = RESEND_MS;
  c->hold_until = 0;
  c->owed_since = 0;
  c->act_at = now;
  c->lost_told = false;
  tell(c, LS_CONNECTED, 0);
}

static void on_reject(ls_client *c, size_t from, const uint8_t *b, size_t n, int64_t now) {
  wire_reject x;
  bool fits = wire_get_reject(b, n, &x) && (x.token == c->token || (x.token == 0 && x.session != 0)) &&
              (x.session == 0 || x.session == c->session) && from == c->at;
  if (!fits) {
    c->dropped++;
    return;
  }
  if (x.code == CODE_NOT_LEADER) {
    if (c->state == ONLINE) lose(c, now);
    seek_next(c, now);
  } else if (x.code == CODE_BAD_NONCE) {
    seek(c, c->at, now);
  } else if (wire_code_busy(x.code)) {
    if (c->busy_code != x.code) tell(c, LS_BUSY, x.code);
    c->busy_code = x.code;
    if (c->state == ONLINE) lose(c, now);
    c->state = SEARCHING;
    c->stay = true;
    c->pause_ms = c->pause_ms * 2 < CONNECT_MAX_MS ? c->pause_ms * 2 : CONNECT_MAX_MS;
    c->act_at = now + (x.code == CODE_BUSY_STARTING ? BUSY_MIN_MS * MS : jitter(c, c->pause_ms));
  } else {
    end(c, x.code);
  }
}

static void on_redirect(ls_client *c, size_t from, const uint8_t *b, size_t n, int64_t now) {
  wire_redirect x = {0};
  bool fits = wire_get_redirect(b, n, &x) && from == c->at &&
              (c->state == ONLINE ? x.token == 0 && (x.session == 0 || x.session == c->session) : x.token == c->token);
  bool stale = x.term < c->term;
  if (!fits || (stale && c->state == ONLINE)) {
    c->dropped++;
    return;
  }
  if (c->state == ONLINE) lose(c, now);
  size_t leader = x.leader != 0 && !stale ? find(c, x.ip, x.port, true) : LS_MAX_ADDRESSES;
  if (leader == LS_MAX_ADDRESSES || leader == from)
    seek_next(c, now);
  else
    seek(c, leader, now);
}

// ---- The window

static message *held(ls_client *c, uint64_t correlation) {
  if (correlation < c->first || correlation >= c->next) return NULL;
  return &c->window[correlation & c->mask];
}

// settled says whether a message has nothing to wait for but its commitment.
static bool settled(const message *m) { return m->refused || m->levels >> m->reached <= 1; }

// progress puts off sending again what is on its way.
static void progress(ls_client *c, int64_t now) {
  c->progress_at = now;
  c->resend_ms = RESEND_MS;
}

// release forgets messages from the first on that are committed and settled.
static void release(ls_client *c, int64_t now) {
  uint64_t before = c->first;
  while (c->first < c->next && c->first <= c->committed && settled(held(c, c->first))) c->first++;
  if (c->send < c->first) {
    c->send = c->first;
    c->send_offset = 0;
  }
  if (c->first == before) return;
  progress(c, now);
  c->busy_ms = BUSY_MIN_MS;
  c->busy_code = 0;
}

static void rewind_to(ls_client *c, uint64_t correlation) {
  if (correlation > c->send) return;
  c->send = correlation;
  c->send_offset = 0;
}

static void copy_out(const ls_client *c, uint8_t *to, uint64_t start, size_t n) {
  size_t at = start % c->o.window_bytes, head = c->o.window_bytes - at;
  if (head > n) head = n;
  memcpy(to, c->bytes + at, head);
  memcpy(to + head, c->bytes, n - head);
}

// depart sends the MESSAGES that is being filled.
static bool depart(ls_client *c, int64_t now) {
  if (c->out_length == 0) return true;
  wire_put_u64(c->out + WIRE_HEADER, c->received);
  c->received_told = c->received;
  c->received_bytes = 0;
  c->received_at = 0;
  size_t n = c->out_length;
  c->out_length = 0;
  return transmit(c, KIND_MESSAGES, n, now);
}

// load puts message c->send, or a fragment of it, into the MESSAGES that is being filled; false when it has no room.
static bool load(ls_client *c) {
  const message *m = held(c, c->send);
  size_t length = m->voided ? 0 : m->length;
  size_t empty = WIRE_HEADER + WIRE_MESSAGES, at = c->out_length == 0 ? empty : c->out_length;
  size_t room = c->o.datagram - at;
  bool whole = wire_padded(WIRE_MESSAGE + length) <= (size_t)c->o.datagram - empty;
  if (whole ? wire_padded(WIRE_MESSAGE + length) > room : at != empty) return false;
  wire_message x = {.correlation = c->send, .service = m->service, .levels = m->levels,
                    .kind = m->voided ? MESSAGE_VOID : MESSAGE_DATA};
  uint8_t *b = c->out + at;
  size_t head = WIRE_MESSAGE, part = length;
  if (!whole) {
    head += WIRE_FRAGMENT;
    x.kind = MESSAGE_FRAGMENT;
    part = (room & ~(size_t)7) - head;
    if (part > length - c->send_offset) part = length - c->send_offset;
    wire_put_fragment(b + WIRE_MESSAGE, (uint32_t)length, c->send_offset);
  }
  x.length = (uint16_t)(head + part);
  wire_put_message(b, &x);
  copy_out(c, b + head, m->start + c->send_offset, part);
  memset(b + head + part, 0, wire_padded(head + part) - head - part);
  c->out_length = at + wire_padded(head + part);
  c->send_offset += (uint32_t)part;
  if (whole || c->send_offset == length) {
    c->send++;
    c->send_offset = 0;
  }
  return true;
}

// may_send says whether the granted window and the bytes in flight allow one more message.
static bool may_send(const ls_client *c) {
  if (c->send >= c->next || c->send - c->first >= c->granted) return false;
  const message *m = &c->window[c->send & c->mask];
  uint64_t flying = m->start + m->length - c->window[c->first & c->mask].start;
  return c->send == c->first || flying <= c->o.flight_bytes;
}

static void flush(ls_client *c, int64_t now) {
  if (now < c->hold_until) return;
  bool idle = c->send == c->first;
  while (may_send(c)) {
    if (load(c)) continue;
    if (!depart(c, now)) break;
  }
  depart(c, now);
  if (idle && c->send > c->first) c->progress_at = now;
}

// ---- Answers

// reach hands over every level up to `level` that the message asked for and was not told yet.
static void reach(ls_client *c, message *m, const wire_answer *x, uint8_t level) {
  for (uint8_t l = (uint8_t)(m->reached + 1); l <= level; l++) {
    m->reached = l;
    if ((m->levels >> l & 1) == 0 || c->o.handlers.ack == NULL) continue;
    ls_ack a = {.correlation = x->correlation, .sequence = x->sequence, .position = x->position,
                .timestamp = x->timestamp, .term = c->term, .level = l};
    c->o.handlers.ack(c->o.handlers.context, &a);
  }
}

static void deliver(ls_client *c, const wire_answer *x, const uint8_t *payload, size_t length, int64_t now) {
  progress(c, now);
  c->received++;
  c->assembly_have = 0;
  c->hole_at = 0;
  c->received_bytes += (uint32_t)length;
  if (c->received_at == 0) c->received_at = now;
  ls_response r = {.number = x->response, .correlation = x->correlation, .sequence = x->sequence,
                   .position = x->position, .timestamp = x->timestamp, .payload = payload, .length = length,
                   .service = x->service, .last = x->level == LS_APPLIED};
  if (c->o.handlers.response != NULL) c->o.handlers.response(c->o.handlers.context, &r);
  message *m = held(c, x->correlation);
  if (m != NULL && !m->refused && r.last) reach(c, m, x, LS_APPLIED);
}

// on_response takes the next response, whole or a fragment of it, and asks for it when another comes instead.
static void on_response(ls_client *c, const wire_answer *x, int64_t now) {
  if (x->response <= c->received) {
    if (c->received_at == 0) c->received_at = now; // it was sent again: say once more what is here
    return;
  }
  bool next = x->response == c->received + 1;
  if (next && x->kind == ANSWER_RESPONSE) {
    deliver(c, x, x->payload, x->length, now);
    return;
  }
  if (c->assembly_have == 0) c->assembly_total = x->total;
  if (!next || x->total != c->assembly_total || x->offset > c->assembly_have) {
    int64_t ask = c->asked_at + HOLE_MS * MS > now ? c->asked_at + HOLE_MS * MS : now;
    if (c->hole_at == 0 || ask < c->hole_at) c->hole_at = ask;
    return;
  }
  uint32_t end = x->offset + (uint32_t)x->length;
  if (end <= c->assembly_have) return;
  memcpy(c->assembly + x->offset, x->payload, x->length); // it may be cut otherwise than when it was sent before
  c->assembly_have = end;
  c->hole_at = now + 4 * HOLE_MS * MS; // should the rest not come
  if (c->assembly_have == c->assembly_total) deliver(c, x, c->assembly, c->assembly_total, now);
}

static void on_busy(ls_client *c, const wire_answer *x, int64_t now) {
  if (held(c, x->correlation) == NULL) return;
  rewind_to(c, x->correlation);
  if (now < c->hold_until) return;
  if (c->busy_code != x->code) tell(c, LS_BUSY, x->code);
  c->busy_code = x->code;
  c->hold_until = now + jitter(c, c->busy_ms);
  if (x->code != CODE_BUSY_STARTING) c->busy_ms = c->busy_ms * 2 < BUSY_MAX_MS ? c->busy_ms * 2 : BUSY_MAX_MS;
}

static void on_gap(ls_client *c, const wire_answer *x, int64_t now) {
  if (held(c, x->correlation) == NULL || x->correlation > c->send) return;
  c->gap = x->correlation;
  if (c->gap_at < now) c->gap_at = now;
}

// fill_gap sends again from a gap on that was asked for.
static void fill_gap(ls_client *c, int64_t now) {
  if (c->gap == 0 || now < c->gap_at) return;
  if (c->gap >= c->first) rewind_to(c, c->gap);
  c->gap = 0;
  c->gap_at = now + GAP_MS * MS;
  progress(c, now);
}

static void refuse(ls_client *c, message *m, const wire_answer *x) {
  m->refused = true;
  if (c->o.handlers.refused != NULL) c->o.handlers.refused(c->o.handlers.context, x->correlation, x->code);
}

static void on_answer(ls_client *c, const wire_answer *x, int64_t now) {
  message *m = held(c, x->correlation);
  switch (x->kind) {
  case ANSWER_ACK:
    if (m == NULL || m->refused) break;
    if (x->code == 0) // else a void is on the way in its place: that counts when it is applied
      reach(c, m, x, x->level);
    else if (x->level == LS_APPLIED)
      refuse(c, m, x);
    break;
  case ANSWER_RESPONSE:
  case ANSWER_FRAGMENT:
    on_response(c, x, now);
    break;
  case ANSWER_BUSY:
    on_busy(c, x, now);
    break;
  case ANSWER_REFUSED:
    if (m != NULL && !m->refused) refuse(c, m, x);
    break;
  case ANSWER_GAP:
    on_gap(c, x, now);
    break;
  case ANSWER_CLOSED:
    ended(c, x);
    break;
  default:
    break; // wire_check_answers lets no other through
  }
}

// on_answers_late takes what a leader says to PROVE when the session is closed; anything else comes too late, or early.
static void on_answers_late(ls_client *c, size_t from, const uint8_t *b, size_t n) {
  wire_answer x;
  for (size_t at = WIRE_ANSWERS; c->state == PROVING && from == c->at && wire_next_answer(b, n, &at, &x);)
    if (x.kind == ANSWER_CLOSED) ended(c, &x);
  if (c->state != CLOSED) c->dropped++;
}

static void on_answers(ls_client *c, size_t from, const wire_header *h, const uint8_t *b, size_t n, int64_t now) {
  uint64_t session, committed;
  bool fits = wire_check_answers(b, n, &session, &committed) && session == c->session && session != 0;
  if (!fits || committed >= c->next) {
    c->dropped++;
    return;
  }
  if (c->state != ONLINE || from != c->at || h->term != c->term) {
    on_answers_late(c, from, b, n);
    return;
  }
  c->owed_since = 0;
  if (committed > c->committed) c->committed = committed;
  wire_answer x;
  for (size_t at = WIRE_ANSWERS; c->state == ONLINE && wire_next_answer(b, n, &at, &x);) on_answer(c, &x, now);
  release(c, now);
}

// ---- Datagrams

static void on_datagram(ls_client *c, const struct sockaddr_in *from, const uint8_t *b, size_t n, int64_t now) {
  wire_header h;
  size_t node = find(c, from->sin_addr.s_addr, from->sin_port, false);
  if (node == LS_MAX_ADDRESSES || !wire_open(&c->crc, b, n, c->o.cluster, &h)) {
    c->dropped++;
    return;
  }
  b += WIRE_HEADER;
  n -= WIRE_HEADER;
  switch (h.kind) {
  case KIND_CHALLENGE:
    on_challenge(c, node, b, n, now);
    break;
  case KIND_ACCEPT:
    on_accept(c, node, b, n, now);
    break;
  case KIND_REJECT:
    on_reject(c, node, b, n, now);
    break;
  case KIND_REDIRECT:
    on_redirect(c, node, b, n, now);
    break;
  case KIND_ANSWERS:
    on_answers(c, node, &h, b, n, now);
    break;
  default:
    break; // wire_open lets no other through
  }
}

static int take(ls_client *c, int64_t now) {
  int taken = 0;
  while (taken < TAKE && c->state != CLOSED) {
    struct sockaddr_in from = {0};
    socklen_t size = sizeof from;
    ssize_t n = recvfrom(c->fd, c->in, WIRE_LONGEST + 1, 0, (struct sockaddr *)&from, &size);
    if (n < 0 && errno == ECONNREFUSED) continue; // what the network says of a node that is down: it is silent, too
    if (n < 0) break;
    taken++;
    on_datagram(c, &from, c->in, (size_t)n, now);
  }
  return taken;
}

// ---- Time

static int64_t idle_ns(const ls_client *c) {
  int64_t ms = c->silence_ms != 0 ? c->silence_ms / 4 : IDLE_MS;
  return (c->first < c->next && ms > ASK_MS ? ASK_MS : ms) * MS;
}

// attempt is due while there is no leader.
static void attempt(ls_client *c, int64_t now) {
  if (c->closing && c->session == 0 && c->first == c->next) {
    end(c, 0);
  } else if (c->state == PROVING && ++c->proves < PROVES) {
    send_prove(c, now);
  } else {
    size_t node = c->stay ? c->at : (c->at + 1) % c->node_count;
    c->stay = false;
    c->hops = 0;
    c->pause_ms = c->pause_ms * 3 / 2 < CONNECT_MAX_MS ? c->pause_ms * 3 / 2 : CONNECT_MAX_MS;
    seek(c, node, now);
  }
}

// tick does what time has made due in a session.
static void tick(ls_client *c, int64_t now) {
  if (c->owed_since != 0 && now - c->owed_since > c->o.silence_ms * MS) {
    lose(c, now);
    seek_next(c, now);
    return;
  }
  if (c->first < c->send && now - c->progress_at >= c->resend_ms * MS) {
    rewind_to(c, c->first);
    c->progress_at = now;
    c->resend_ms = c->resend_ms * 2 < RESEND_MAX_MS ? c->resend_ms * 2 : RESEND_MAX_MS;
  }
  fill_gap(c, now);
  flush(c, now);
  if (c->closing && c->first == c->next) {
    if (now < c->act_at) return;
    c->act_at = now + CLOSE_MS * MS;
    send_bare(c, KIND_DISCONNECT, now);
    return;
  }
  bool hole = c->hole_at != 0 && now >= c->hole_at;
  bool many = c->received - c->received_told >= ACK_RESPONSES || c->received_bytes >= ACK_BYTES;
  bool late = c->received_at != 0 && now - c->received_at >= ACK_MS * MS;
  if (hole) {
    c->asked_at = now;
    c->hole_at = now + 4 * HOLE_MS * MS; // should that be lost
  }
  if (hole || now - c->sent_at >= idle_ns(c)) {
    send_bare(c, KIND_KEEPALIVE, now);
  } else if (many || late) {
    tell_received(c, now);
  }
}

static int64_t earlier(int64_t a, int64_t b) { return a < b ? a : b; }

int64_t ls_due(const ls_client *c) {
  if (c->state == CLOSED) return INT64_MAX;
  if (c->state != ONLINE) return c->act_at;
  int64_t due = c->sent_at + idle_ns(c);
  if (c->owed_since != 0) due = earlier(due, c->owed_since + c->o.silence_ms * MS + 1);
  if (c->first < c->send) due = earlier(due, c->progress_at + c->resend_ms * MS);
  if (c->hole_at != 0) due = earlier(due, c->hole_at);
  if (c->gap != 0) due = earlier(due, c->gap_at);
  if (c->received_at != 0) due = earlier(due, c->received_at + ACK_MS * MS);
  if (c->closing && c->first == c->next) due = earlier(due, c->act_at);
  if (may_send(c)) due = earlier(due, c->hold_until);
  return due;
}

// ---- The calls

static void fill_in(ls_options *o) {
  if (o->window == 0) o->window = 256;
  if (o->window_bytes == 0) o->window_bytes = 1 << 20;
  if (o->window_bytes < LS_MAX_MESSAGE) o->window_bytes = LS_MAX_MESSAGE;
  if (o->flight_bytes == 0) o->flight_bytes = 96 << 10;
  if (o->datagram == 0) o->datagram = 1472;
  if (o->silence_ms == 0) o->silence_ms = 300;
}

static bool fits(const ls_options *o) {
  size_t name = o->name != NULL ? strlen(o->name) : 0;
  return name >= 1 && name <= LS_MAX_NAME && o->node_count >= 1 && o->node_count <= LS_MAX_ADDRESSES &&
         o->window <= 1 << 20 && o->datagram >= 512 && o->datagram <= WIRE_LONGEST;
}

static bool make_random(ls_client *c) {
  int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  uint64_t x[2] = {0};
  bool whole = read(fd, x, sizeof x) == sizeof x;
  close(fd);
  c->token = x[0] != 0 ? x[0] : 1;
  c->random = x[1] | 1;
  return whole;
}

static bool make_socket(ls_client *c) {
  c->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (c->fd < 0) return false;
  int room = 1 << 20; // as much of it as the system allows
  setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
  setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  c->o.local.sin_family = AF_INET;
  return bind(c->fd, (const struct sockaddr *)&c->o.local, sizeof c->o.local) == 0;
}

static bool make_memory(ls_client *c) {
  uint64_t slots = 1;
  while (slots < c->o.window) slots *= 2;
  c->mask = slots - 1;
  c->window = calloc(slots, sizeof *c->window);
  c->bytes = malloc(c->o.window_bytes);
  c->assembly = malloc(LS_MAX_MESSAGE);
  c->in = malloc(WIRE_LONGEST + 1);
  c->out = malloc(c->o.datagram);
  return c->window != NULL && c->bytes != NULL && c->assembly != NULL && c->in != NULL && c->out != NULL;
}

ls_client *ls_open(const ls_options *options, int64_t now) {
  ls_options o = *options;
  fill_in(&o);
  if (!fits(&o)) {
    errno = EINVAL;
    return NULL;
  }
  ls_client *c = calloc(1, sizeof *c);
  if (c == NULL) return NULL;
  c->o = o;
  c->fd = -1;
  wire_crc_init(&c->crc);
  c->name_length = strlen(o.name);
  memcpy(c->name, o.name, c->name_length);
  c->node_count = o.node_count;
  memcpy(c->node, o.nodes, o.node_count * sizeof *o.nodes);
  if (!make_memory(c) || !make_random(c) || !make_socket(c)) {
    int why = errno;
    ls_free(c);
    errno = why;
    return NULL;
  }
  c->first = c->next = c->send = 1;
  c->max_message = LS_MAX_MESSAGE;
  c->resend_ms = RESEND_MS;
  c->busy_ms = BUSY_MIN_MS;
  c->pause_ms = CONNECT_MS;
  seek(c, roll(c) % c->node_count, now);
  return c;
}

void ls_free(ls_client *c) {
  if (c == NULL) return;
  if (c->fd >= 0) close(c->fd);
  free(c->window);
  free(c->bytes);
  free(c->assembly);
  free(c->in);
  free(c->out);
  free(c);
}

int ls_poll(ls_client *c, int64_t now) {
  int taken = take(c, now);
  if (c->state == ONLINE)
    tick(c, now);
  else if (c->state != CLOSED && now >= c->act_at)
    attempt(c, now);
  return taken;
}

ls_result ls_send(ls_client *c, uint16_t service, uint8_t levels, const void *payload, size_t length,
                  uint64_t *correlation) {
  if (c->state == CLOSED || c->closing) return LS_IS_CLOSED;
  if (length > c->max_message) return LS_TOO_LONG;
  uint64_t used = c->first < c->next ? c->bytes_end - held(c, c->first)->start : 0;
  if (c->next - c->first > c->mask || c->next - c->first >= c->o.window || used + length > c->o.window_bytes)
    return LS_FULL;
  size_t at = c->bytes_end % c->o.window_bytes, head = c->o.window_bytes - at;
  if (head > length) head = length;
  if (length > 0) {
    memcpy(c->bytes + at, payload, head);
    memcpy(c->bytes, (const uint8_t *)payload + head, length - head);
  }
  c->window[c->next & c->mask] =
      (message){.start = c->bytes_end, .length = (uint32_t)length, .service = service, .levels = levels & 0x3e};
  c->bytes_end += length;
  if (correlation != NULL) *correlation = c->next;
  c->next++;
  return LS_OK;
}

ls_result ls_void(ls_client *c, uint64_t correlation) {
  if (c->state == CLOSED) return LS_IS_CLOSED;
  message *m = held(c, correlation);
  if (m == NULL) return LS_NOT_OPEN;
  m->voided = true;
  m->levels |= LS_ASK(LS_APPLIED); // only then its outcome stands
  rewind_to(c, correlation);
  return LS_OK;
}

void ls_close(ls_client *c) { c->closing = true; }

int64_t ls_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000LL + t.tv_nsec;
}

int ls_fd(const ls_client *c) { return c->fd; }
uint64_t ls_open_messages(const ls_client *c) { return c->next - c->first; }
uint64_t ls_session(const ls_client *c) { return c->session; }
uint64_t ls_dropped(const ls_client *c) { return c->dropped; }
bool ls_is_closed(const ls_client *c) { return c->state == CLOSED; }

const char *ls_code_name(uint16_t code) { return wire_code_name(code); }
