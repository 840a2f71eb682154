// The part of docs/wire.md that a client needs: layouts, the check, and the tests that everything received has to pass.
// Nothing here keeps state, and nothing reads beyond the bytes it is given.
#ifndef LOCKSTEP_WIRE_H
#define LOCKSTEP_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  WIRE_HEADER = 48,
  WIRE_LONGEST = 65507, // a UDP datagram over IPv4
  WIRE_MAX_NODE = 7,
  WIRE_CONNECT = 32, // sizes of bodies, without what follows them
  WIRE_PROVE = 40,
  WIRE_MESSAGES = 8,
  WIRE_MESSAGE = 16,
  WIRE_FRAGMENT = 8,
  WIRE_ANSWERS = 16,
  WIRE_ANSWER = 48,
  WIRE_STAGES = 32,
};

enum { STAGES_FOLLOW = 128 }; // in an answer's level

enum {
  KIND_CONNECT = 32,
  KIND_PROVE = 33,
  KIND_MESSAGES = 34,
  KIND_DISCONNECT = 35,
  KIND_KEEPALIVE = 36,
  KIND_CHALLENGE = 48,
  KIND_ACCEPT = 49,
  KIND_REJECT = 50,
  KIND_REDIRECT = 51,
  KIND_ANSWERS = 52,
};

enum { MESSAGE_DATA = 1, MESSAGE_VOID = 2, MESSAGE_FRAGMENT = 3 };

enum {
  ANSWER_ACK = 1,
  ANSWER_RESPONSE = 2,
  ANSWER_BUSY = 3,
  ANSWER_REFUSED = 4,
  ANSWER_GAP = 5,
  ANSWER_CLOSED = 6,
  ANSWER_FRAGMENT = 7,
};

enum {
  CODE_BAD_NONCE = 4,
  CODE_NOT_LEADER = 5,
  CODE_UNKNOWN_SESSION = 6,
  CODE_SESSION_CLOSED = 7,
  CODE_BUSY_STARTING = 18,
  CODE_BUSY_HAND_OVER = 22,
};

typedef struct {
  uint32_t table[256];
} wire_crc;

void wire_crc_init(wire_crc *crc);
uint32_t wire_crc32c(const wire_crc *crc, const uint8_t *b, size_t n);

typedef struct {
  uint64_t cluster, sender;
  uint32_t term;
  uint8_t kind;
} wire_header;

// wire_seal completes the n bytes at b, whose body is in place: it writes the header and the check.
void wire_seal(const wire_crc *crc, uint8_t *b, size_t n, const wire_header *h);

// wire_open says whether b is a whole datagram from a node of that cluster to a client, and fills h.
bool wire_open(const wire_crc *crc, const uint8_t *b, size_t n, uint64_t cluster, wire_header *h);

typedef struct {
  uint64_t token, session, received, nonce;
  uint32_t window;
  const char *name;
  size_t name_length;
} wire_hello;

// wire_put_connect and wire_put_prove write a body and return its length.
size_t wire_put_connect(uint8_t *b, const wire_hello *x);
size_t wire_put_prove(uint8_t *b, const wire_hello *x);
void wire_put_u64(uint8_t *b, uint64_t x);

typedef struct {
  uint64_t correlation;
  uint16_t length; // header and all that follows it
  uint16_t service;
  uint8_t kind, levels;
} wire_message;

void wire_put_message(uint8_t *b, const wire_message *m);
void wire_put_fragment(uint8_t *b, uint32_t total, uint32_t offset);
size_t wire_padded(size_t n);

typedef struct {
  uint64_t token, nonce;
} wire_challenge;

typedef struct {
  uint64_t token, session, correlation;
  uint32_t leader, term, window, max_message, silence_ms;
} wire_accept;

typedef struct {
  uint64_t token, session;
  uint16_t code;
} wire_reject;

typedef struct {
  uint64_t token, session;
  uint32_t leader, term;
  uint32_t ip;   // as in struct in_addr
  uint16_t port; // as in struct sockaddr_in
} wire_redirect;

// Bodies, n bytes long: false when they are not laid out as they must be.
bool wire_get_challenge(const uint8_t *b, size_t n, wire_challenge *x);
bool wire_get_accept(const uint8_t *b, size_t n, wire_accept *x);
bool wire_get_reject(const uint8_t *b, size_t n, wire_reject *x);
bool wire_get_redirect(const uint8_t *b, size_t n, wire_redirect *x);

typedef struct {
  uint64_t correlation, sequence, position, timestamp, response;
  const uint8_t *payload;
  size_t length;          // of the payload
  uint32_t total, offset; // of a fragment: the response's length, and where the payload belongs in it
  uint16_t code, service;
  uint8_t kind, level;
} wire_answer;

// wire_check_answers says whether a whole body of ANSWERS is well-formed, and fills session and committed.
bool wire_check_answers(const uint8_t *b, size_t n, uint64_t *session, uint64_t *committed);

// wire_next_answer takes the answer at *at, an offset in a body; false at the end and for one that is malformed. The
// first lies at WIRE_ANSWERS.
bool wire_next_answer(const uint8_t *b, size_t n, size_t *at, wire_answer *x);

// wire_code_name is the name of a refusal; wire_code_busy says whether the same can be tried again later.
const char *wire_code_name(uint16_t code);
bool wire_code_busy(uint16_t code);

#endif
