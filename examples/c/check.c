// Tests of the client that need no cluster: known answers, and a client that is fed datagrams of every kind with every
// field at odds, all of them with a right check, while it sends. Whatever comes, what it hands over stays in order and
// within what was sent. Run under the sanitizers (`make check`), which end it at the first byte out of bounds.
#include "lockstep.c" // its own statics are what is tested

#include <stdio.h>

enum { ROUNDS = 100000, CLUSTER = 0x5eed, MOST = 1 << 16 };

#define MUST(x) \
  do { \
    if (!(x)) { \
      fprintf(stderr, "check.c:%d: not so: %s\n", __LINE__, #x); \
      exit(1); \
    } \
  } while (0)

static uint64_t seed = 1;

static uint64_t any(uint64_t n) {
  seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
  return (seed >> 33) % n;
}

static bool chance(unsigned one_in) { return any(one_in) == 0; }

// What the handlers saw.
static struct {
  uint64_t responses, acks, refused, closed;
  uint8_t sum, reached[MOST], wanted[MOST];
  bool ended[MOST];
} saw;

static void saw_ack(void *context, const ls_ack *a) {
  const ls_client *c = *(ls_client **)context;
  MUST(a->correlation >= 1 && a->correlation < c->next);
  uint64_t i = a->correlation % MOST;
  MUST((saw.wanted[i] >> a->level & 1) != 0 && a->level > saw.reached[i] && !saw.ended[i]);
  saw.reached[i] = a->level;
  saw.acks++;
}

static void saw_response(void *context, const ls_response *r) {
  (void)context;
  MUST(r->number == saw.responses + 1 && r->length <= LS_MAX_MESSAGE);
  for (size_t i = 0; i < r->length; i++) saw.sum ^= r->payload[i]; // every byte is there to be read
  saw.responses++;
}

static void saw_refused(void *context, uint64_t correlation, uint16_t code) {
  const ls_client *c = *(ls_client **)context;
  MUST(correlation >= 1 && correlation < c->next && code != 0 && !saw.ended[correlation % MOST]);
  saw.ended[correlation % MOST] = true;
  saw.refused++;
}

static void saw_event(void *context, const ls_event *e) {
  (void)context;
  saw.closed += e->kind == LS_CLOSED;
}

static uint8_t datagram[WIRE_LONGEST + 64];

static void put_le(uint8_t *b, uint64_t x, int size) {
  for (int i = 0; i < size; i++) b[i] = (uint8_t)(x >> 8 * i);
}

// near is a number close to x most of the time, and now and then an extreme one.
static uint64_t near(uint64_t x) {
  if (chance(60)) return any(2) * UINT64_MAX - any(2);
  return chance(8) ? x + any(5) - 2 : x;
}

// make_answer puts one answer that more or less fits the client; it returns its padded length.
static size_t make_answer(const ls_client *c, uint8_t *b) {
  uint8_t kind = chance(50) ? (uint8_t)any(256) : (uint8_t)(chance(20) ? 3 + any(4) : 1 + any(2));
  if (c->assembly_have > 0 ? !chance(20) : chance(10)) kind = ANSWER_FRAGMENT; // a whole one ends what is assembled
  if (kind == ANSWER_CLOSED && !chance(500)) kind = ANSWER_ACK;
  uint64_t correlation = c->first + any(c->next - c->first + 2) - chance(10);
  bool numbered = kind == ANSWER_RESPONSE || kind == ANSWER_FRAGMENT;
  size_t length = numbered ? any(chance(10) ? 1200 : 60) : 0;
  size_t total = c->assembly_have > 0 ? c->assembly_total : 1 + any(chance(3) ? LS_MAX_MESSAGE : 3000);
  size_t offset = c->assembly_have;
  put_le(b, near(correlation), 8);
  for (int i = 8; i < 32; i++) b[i] = (uint8_t)any(256);
  put_le(b + 32, numbered ? near(c->received + 1) : 0, 8);
  b[42] = kind;
  b[43] = (uint8_t)(chance(40) ? any(256) : any(6));
  put_le(b + 44, kind == ANSWER_ACK ? (chance(20) ? 12 : 0) : any(30), 2);
  put_le(b + 46, 1, 2);
  if (kind == ANSWER_FRAGMENT) {
    length = any(8000);
    if (length > total - offset && !chance(10)) length = total - offset;
    put_le(b + WIRE_ANSWER, near(total), 4);
    put_le(b + WIRE_ANSWER + 4, near(offset), 4);
    length += WIRE_FRAGMENT;
  }
  if (chance(60)) length = any((chance(2) && length > 8 ? 8 : length) + 1); // cut off
  put_le(b + 40, chance(60) ? any(65536) : WIRE_ANSWER + length, 2);
  size_t head = kind == ANSWER_FRAGMENT ? WIRE_FRAGMENT : 0;
  for (size_t i = head; i < length; i++) b[WIRE_ANSWER + i] = (uint8_t)any(256);
  size_t padded = wire_padded(WIRE_ANSWER + length);
  memset(b + WIRE_ANSWER + length, chance(100), padded - WIRE_ANSWER - length);
  return padded;
}

// make_body puts a body of some kind and returns its length.
static size_t make_body(const ls_client *c, uint8_t kind, uint8_t *b) {
  size_t n = 0;
  switch (kind) {
  case KIND_CHALLENGE:
    put_le(b, near(c->token), 8);
    return 16;
  case KIND_ACCEPT:
    memset(b, 0, 56);
    put_le(b, near(c->token), 8);
    put_le(b + 8, near(c->session != 0 ? c->session : 77), 8);
    put_le(b + 16, near(c->committed), 8);
    put_le(b + 32, near(1 + any(7)), 4);
    put_le(b + 36, near(c->term), 4);
    put_le(b + 40, near(1 + any(64)), 4);
    put_le(b + 44, near(65536), 4);
    put_le(b + 48, near(10000), 4);
    return 56;
  case KIND_REJECT:
    memset(b, 0, 24);
    put_le(b, chance(2) ? 0 : c->token, 8);
    put_le(b + 8, near(c->session), 8);
    put_le(b + 16, chance(100) ? any(40) : 18, 2);
    return 24;
  case KIND_REDIRECT:
    memset(b, 0, 32);
    put_le(b, chance(2) ? 0 : c->token, 8);
    put_le(b + 8, near(c->session), 8);
    put_le(b + 16, any(9), 4);
    put_le(b + 20, 0x0100007f + (any(30) << 24), 4);
    put_le(b + 24, any(3), 2);
    put_le(b + 28, near(c->term), 4);
    return 32;
  default:
    put_le(b, near(c->session), 8);
    put_le(b + 8, near(c->committed + (chance(3) ? any(c->next - c->committed) : 0)), 8);
    n = WIRE_ANSWERS;
    for (uint64_t i = any(6); i > 0; i--) n += make_answer(c, b + n);
    return n;
  }
}

static void feed(ls_client *c, int64_t now) {
  uint8_t kind = (uint8_t)(chance(12) ? KIND_CHALLENGE + any(5) : KIND_ANSWERS);
  if (c->state != ONLINE) kind = (uint8_t)(KIND_CHALLENGE + any(2));
  size_t n = WIRE_HEADER + make_body(c, kind, datagram + WIRE_HEADER);
  if (chance(30)) datagram[WIRE_HEADER + any(n - WIRE_HEADER)] ^= (uint8_t)(1 << any(8));
  if (chance(60)) n = WIRE_HEADER + any(n - WIRE_HEADER + 1);
  wire_header h = {.cluster = CLUSTER, .sender = 1 + any(7), .term = (uint32_t)near(c->term), .kind = kind};
  wire_seal(&c->crc, datagram, n, &h);
  put_le(datagram + 32, 9, 8); // an incarnation, as nodes have
  put_le(datagram, wire_crc32c(&c->crc, datagram + 8, n - 8), 8);
  if (chance(50)) datagram[any(n)] ^= 4; // the check does not fit
  uint8_t *exact = malloc(n);             // so that the byte behind is not to be touched
  MUST(exact != NULL);
  memcpy(exact, datagram, n);
  on_datagram(c, &c->node[chance(30) ? any(c->node_count) : c->at], exact, n, now);
  free(exact);
}

static ls_client *begin(ls_client **context, const struct sockaddr_in *nodes) {
  memset(&saw, 0, sizeof saw);
  ls_options o = {.cluster = CLUSTER, .nodes = nodes, .node_count = 3, .name = "check", .window = 64,
                  .handlers = {context, saw_ack, saw_response, saw_refused, saw_event}};
  ls_client *c = ls_open(&o, 1);
  MUST(c != NULL);
  return *context = c;
}

static void sends(ls_client *c) {
  static const uint8_t payload[LS_MAX_MESSAGE];
  uint64_t correlation;
  uint8_t levels = (uint8_t)(any(32) << 1);
  if (ls_send(c, LS_ECHO, levels, payload, any(chance(10) ? LS_MAX_MESSAGE : 300), &correlation) == LS_OK) {
    saw.wanted[correlation % MOST] = levels;
    saw.reached[correlation % MOST] = 0;
    saw.ended[correlation % MOST] = false;
  }
  if (chance(30) && c->first < c->next) {
    correlation = c->first + any(c->next - c->first);
    if (ls_void(c, correlation) == LS_OK) saw.wanted[correlation % MOST] |= LS_ASK(LS_APPLIED);
  }
}

static void check_session(void) {
  struct sockaddr_in nodes[3];
  for (int i = 0; i < 3; i++)
    nodes[i] = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)(9 + i)),
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  ls_client *context, *c = begin(&context, nodes);
  uint64_t sessions = 1, messages = 0, acks = 0, responses = 0, refused = 0;
  int64_t now = 1;
  for (int i = 0; i < ROUNDS; i++, now += (int64_t)any(4 * MS)) {
    if (chance(3)) sends(c);
    feed(c, now);
    if (chance(4)) ls_poll(c, now);
    MUST(c->first >= 1 && c->first <= c->send && c->send <= c->next && c->next - c->first <= c->o.window);
    MUST(c->committed < c->next && c->received == saw.responses && c->node_count <= LS_MAX_ADDRESSES);
    MUST(c->at < c->node_count && c->assembly_have <= LS_MAX_MESSAGE);
    if (!ls_is_closed(c)) continue;
    MUST(saw.closed == 1);
    messages += c->next - 1, acks += saw.acks, responses += saw.responses, refused += saw.refused, sessions++;
    ls_free(c);
    c = begin(&context, nodes);
  }
  ls_free(c);
  printf("%llu sessions, %llu messages, %llu acknowledgements, %llu refusals, %llu responses: in order\n",
         (unsigned long long)sessions, (unsigned long long)messages, (unsigned long long)acks,
         (unsigned long long)refused, (unsigned long long)responses);
  MUST(messages > 1000 && acks > 1000 && responses > 1000 && refused > 10);
}

static void check_layout(void) {
  wire_crc crc;
  wire_crc_init(&crc);
  MUST(wire_crc32c(&crc, (const uint8_t *)"123456789", 9) == 0xe3069283U);
  MUST(strcmp(ls_code_name(12), "voided") == 0 && strcmp(ls_code_name(999), "unknown") == 0);
    for (size_t n = 0; n < 64; n++) { // what is too short is not looked at
      uint8_t *b = calloc(1, n + 1);
      MUST(b != NULL);
      wire_challenge challenge;
      wire_accept accept;
      wire_reject reject;
      wire_redirect redirect;
      uint64_t session, committed;
      MUST(!wire_get_challenge(b, n, &challenge) || n == 16);
      MUST(!wire_get_accept(b, n, &accept));
      MUST(!wire_get_reject(b, n, &reject) || n == 24);
      MUST(!wire_get_redirect(b, n, &redirect) || n == 32);
      MUST(!wire_check_answers(b, n, &session, &committed) || n == 16);
      free(b);
    }
}

// check_stages: a leader's times in an answer are passed over, whether they were asked for or not.
static void check_stages(void) {
  for (size_t payload = 0; payload < 20; payload++) {
    uint8_t b[WIRE_ANSWER + WIRE_STAGES + 24] = {0};
    size_t length = WIRE_ANSWER + WIRE_STAGES + payload, at = 0;
    put_le(b, 7, 8);
    put_le(b + 32, 1, 8);
    put_le(b + 40, length, 2);
    b[42] = ANSWER_RESPONSE;
    b[43] = LS_APPLIED | STAGES_FOLLOW;
    memset(b + WIRE_ANSWER, 0xa5, WIRE_STAGES);
    memset(b + WIRE_ANSWER + WIRE_STAGES, 0x11, payload);
    wire_answer x;
    MUST(wire_next_answer(b, wire_padded(length), &at, &x) && at == wire_padded(length));
    MUST(x.level == LS_APPLIED && x.length == payload && (payload == 0 || x.payload[0] == 0x11));
    b[42] = ANSWER_GAP; // which has no times
    MUST((at = 0, !wire_next_answer(b, wire_padded(length), &at, &x)));
    b[42] = ANSWER_RESPONSE;
    put_le(b + 40, WIRE_ANSWER + WIRE_STAGES - 1, 2); // too short for them
    MUST((at = 0, !wire_next_answer(b, wire_padded(length), &at, &x)));
  }
}

int main(void) {
  check_layout();
  check_stages();
  check_session();
  return 0;
}
