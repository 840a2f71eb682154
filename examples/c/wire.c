#include "wire.h"

#include <string.h>

enum { MAGIC = 0x54534b4c, VERSION = 1, PROTOCOL = 1, MAX_PAYLOAD = 65536 };

static uint64_t get(const uint8_t *b, int size) {
  uint64_t x = 0;
  for (int i = size - 1; i >= 0; i--) x = x << 8 | b[i];
  return x;
}

static uint64_t get64(const uint8_t *b) { return get(b, 8); }
static uint32_t get32(const uint8_t *b) { return (uint32_t)get(b, 4); }
static uint16_t get16(const uint8_t *b) { return (uint16_t)get(b, 2); }

static void put(uint8_t *b, uint64_t x, int size) {
  for (int i = 0; i < size; i++) b[i] = (uint8_t)(x >> 8 * i);
}

static void put16(uint8_t *b, uint16_t x) { put(b, x, 2); }
static void put32(uint8_t *b, uint32_t x) { put(b, x, 4); }
void wire_put_u64(uint8_t *b, uint64_t x) { put(b, x, 8); }

void wire_crc_init(wire_crc *crc) {
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t x = i;
    for (int bit = 0; bit < 8; bit++) x = x >> 1 ^ ((x & 1) != 0 ? 0x82f63b78U : 0);
    crc->table[i] = x;
  }
}

uint32_t wire_crc32c(const wire_crc *crc, const uint8_t *b, size_t n) {
  uint32_t x = 0xffffffffU;
  for (size_t i = 0; i < n; i++) x = crc->table[(x ^ b[i]) & 0xff] ^ x >> 8;
  return x ^ 0xffffffffU;
}

void wire_seal(const wire_crc *crc, uint8_t *b, size_t n, const wire_header *h) {
  put32(b + 8, MAGIC);
  b[12] = VERSION;
  b[13] = h->kind;
  put16(b + 14, (uint16_t)(n - WIRE_HEADER));
  wire_put_u64(b + 16, h->cluster);
  wire_put_u64(b + 24, h->sender);
  wire_put_u64(b + 32, 0); // incarnation and run are a node's
  put32(b + 40, 0);
  put32(b + 44, h->term);
  wire_put_u64(b, wire_crc32c(crc, b + 8, n - 8));
}

bool wire_open(const wire_crc *crc, const uint8_t *b, size_t n, uint64_t cluster, wire_header *h) {
  if (n < WIRE_HEADER || n > WIRE_LONGEST || get32(b + 8) != MAGIC || b[12] != VERSION) return false;
  if (b[13] < KIND_CHALLENGE || b[13] > KIND_ANSWERS) return false;
  if (get16(b + 14) != n - WIRE_HEADER || get64(b + 16) != cluster) return false;
  if (get64(b) != wire_crc32c(crc, b + 8, n - 8)) return false;
  *h = (wire_header){.kind = b[13], .cluster = cluster, .sender = get64(b + 24), .term = get32(b + 44)};
  return h->sender >= 1 && h->sender <= WIRE_MAX_NODE && get64(b + 32) != 0;
}

size_t wire_put_connect(uint8_t *b, const wire_hello *x) {
  wire_put_u64(b, x->token);
  wire_put_u64(b + 8, x->session);
  wire_put_u64(b + 16, x->received);
  put32(b + 24, x->window);
  put16(b + 28, PROTOCOL);
  put16(b + 30, (uint16_t)x->name_length);
  memcpy(b + WIRE_CONNECT, x->name, x->name_length);
  return WIRE_CONNECT + x->name_length;
}

size_t wire_put_prove(uint8_t *b, const wire_hello *x) {
  wire_put_u64(b, x->token);
  wire_put_u64(b + 8, x->nonce);
  wire_put_u64(b + 16, x->session);
  wire_put_u64(b + 24, x->received);
  put32(b + 32, x->window);
  put16(b + 36, PROTOCOL);
  put16(b + 38, (uint16_t)x->name_length);
  memcpy(b + WIRE_PROVE, x->name, x->name_length);
  return WIRE_PROVE + x->name_length;
}

void wire_put_message(uint8_t *b, const wire_message *m) {
  wire_put_u64(b, m->correlation);
  put16(b + 8, m->length);
  b[10] = m->kind;
  b[11] = m->levels;
  put16(b + 12, m->service);
  put16(b + 14, 0);
}

void wire_put_fragment(uint8_t *b, uint32_t total, uint32_t offset) {
  put32(b, total);
  put32(b + 4, offset);
}

size_t wire_padded(size_t n) { return (n + 7) & ~(size_t)7; }

bool wire_get_challenge(const uint8_t *b, size_t n, wire_challenge *x) {
  if (n != 16) return false;
  *x = (wire_challenge){.token = get64(b), .nonce = get64(b + 8)};
  return true;
}

bool wire_get_accept(const uint8_t *b, size_t n, wire_accept *x) {
  if (n != 56 || get32(b + 52) != 0) return false;
  *x = (wire_accept){
      .token = get64(b),
      .session = get64(b + 8),
      .correlation = get64(b + 16),
      .leader = get32(b + 32),
      .term = get32(b + 36),
      .window = get32(b + 40),
      .max_message = get32(b + 44),
      .silence_ms = get32(b + 48),
  };
  return x->session != 0 && x->leader >= 1 && x->leader <= WIRE_MAX_NODE && x->window > 0;
}

bool wire_get_reject(const uint8_t *b, size_t n, wire_reject *x) {
  if (n != 24 || get16(b + 18) != 0 || get32(b + 20) != 0) return false;
  *x = (wire_reject){.token = get64(b), .session = get64(b + 8), .code = get16(b + 16)};
  return true;
}

bool wire_get_redirect(const uint8_t *b, size_t n, wire_redirect *x) {
  if (n != 32 || get16(b + 26) != 0) return false;
  *x = (wire_redirect){
      .token = get64(b), .session = get64(b + 8), .leader = get32(b + 16), .term = get32(b + 28)};
  memcpy(&x->ip, b + 20, 4); // both in the order of their octets
  const uint8_t port[2] = {b[25], b[24]};
  memcpy(&x->port, port, 2);
  return x->leader <= WIRE_MAX_NODE && (x->leader == 0 || (x->ip != 0 && x->port != 0));
}

// sane_answer says whether an answer's fields fit its kind.
static bool sane_answer(const wire_answer *x) {
  bool bare = x->length == 0;
  switch (x->kind) {
  case ANSWER_ACK:
    return bare && x->level >= 1 && x->level <= 5 && x->correlation != 0 && x->response == 0;
  case ANSWER_RESPONSE:
    return x->level <= 5 && x->response != 0;
  case ANSWER_FRAGMENT:
    return x->level <= 5 && x->response != 0 && x->total <= MAX_PAYLOAD && x->length > 0 && x->offset < x->total &&
           x->length <= x->total - x->offset;
  case ANSWER_BUSY:
  case ANSWER_REFUSED:
    return bare && x->correlation != 0 && x->code != 0;
  case ANSWER_GAP:
    return bare && x->correlation != 0;
  case ANSWER_CLOSED:
    return bare;
  default:
    return false;
  }
}

bool wire_next_answer(const uint8_t *b, size_t n, size_t *at, wire_answer *x) {
  if (*at > n || n - *at < WIRE_ANSWER) return false;
  const uint8_t *a = b + *at;
  size_t length = get16(a + 40), padded = wire_padded(length);
  if (length < WIRE_ANSWER || padded > n - *at) return false;
  for (size_t i = length; i < padded; i++)
    if (a[i] != 0) return false;
  *x = (wire_answer){
      .correlation = get64(a),
      .sequence = get64(a + 8),
      .position = get64(a + 16),
      .timestamp = get64(a + 24),
      .response = get64(a + 32),
      .kind = a[42],
      .level = a[43],
      .code = get16(a + 44),
      .service = get16(a + 46),
      .payload = a + WIRE_ANSWER,
      .length = length - WIRE_ANSWER,
  };
  if (x->level & STAGES_FOLLOW) { // times of the leader's, which this client does not ask for
    if ((x->kind != ANSWER_ACK && x->kind != ANSWER_RESPONSE) || x->length < WIRE_STAGES) return false;
    x->level &= (uint8_t)~STAGES_FOLLOW;
    x->payload += WIRE_STAGES;
    x->length -= WIRE_STAGES;
  }
  if (x->kind == ANSWER_FRAGMENT) {
    if (x->length < WIRE_FRAGMENT) return false;
    x->total = get32(x->payload);
    x->offset = get32(x->payload + 4);
    x->payload += WIRE_FRAGMENT;
    x->length -= WIRE_FRAGMENT;
  }
  if (!sane_answer(x)) return false;
  *at += padded;
  return true;
}

bool wire_check_answers(const uint8_t *b, size_t n, uint64_t *session, uint64_t *committed) {
  if (n < WIRE_ANSWERS) return false;
  *session = get64(b);
  *committed = get64(b + 8);
  wire_answer x;
  size_t at = WIRE_ANSWERS;
  while (at < n)
    if (!wire_next_answer(b, n, &at, &x)) return false;
  return true;
}

const char *wire_code_name(uint16_t code) {
  static const char *const names[] = {
      "none", "malformed", "protocol-version", "bad-name", "bad-nonce", "not-leader", "unknown-session",
      "session-closed", "expired", "slow-consumer", "too-long", "unknown-service", "voided", "busy-window",
      "busy-log", "busy-sessions", "busy-acks", "busy-disk", "busy-starting", "busy-halted", "busy-diverged",
      "skipped", "busy-hand-over", "busy-connecting", "busy-rate", "busy-kept", "busy-assemblies",
  };
  return code < sizeof names / sizeof *names ? names[code] : "unknown";
}

bool wire_code_busy(uint16_t code) { return strncmp(wire_code_name(code), "busy-", 5) == 0; }
