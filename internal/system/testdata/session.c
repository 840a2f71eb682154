// A client for the session test, on top of examples/c: it does what the lines of its standard input say, one after the
// other, and prints what happens, a line each. The test binary plays the same part with the Go client.
//
//   session CLUSTER NODE...
//
//   send SERVICE COUNT LEVELS LENGTH   COUNT messages of LENGTH bytes, for the set of levels LEVELS
//   void SERVICE LEVELS LENGTH         a message that is voided before it is on its way
//   late SERVICE LEVELS LENGTH         a message that is voided when it is acknowledged as sequenced
//   close                              end the session when everything is settled, and the program with it
#define _POSIX_C_SOURCE 200809L

#include <arpa/inet.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lockstep.h"

static uint8_t payload[LS_MAX_MESSAGE];
static uint32_t *lengths; // of the payloads, by correlation
static size_t lengths_room;

static struct {
  uint16_t service;
  uint8_t levels;
  uint32_t count, length;
  bool void_now, void_late;
} job;

static uint64_t late;     // to be voided when it is sequenced; 0: none
static bool late_reached;
static int exit_code = 1;

// fill makes bytes that no other correlation has.
static void fill(uint64_t correlation, size_t length) {
  uint64_t x = correlation;
  for (size_t i = 0; i < length; i++) {
    if (i % 8 == 0) x = x * 0x9E3779B97F4A7C15ULL + correlation;
    payload[i] = (uint8_t)(x >> i % 8 * 8);
  }
}

static void on_ack(void *context, const ls_ack *a) {
  (void)context;
  printf("ack %" PRIu64 " %u %" PRIu64 " %" PRIu64 " %" PRIu32 "\n", a->correlation, (unsigned)a->level, a->sequence,
         a->position, a->term);
  if (a->correlation == late && a->level >= LS_SEQUENCED) late_reached = true;
}

static void on_response(void *context, const ls_response *r) {
  (void)context;
  bool same = r->correlation < lengths_room && lengths[r->correlation] == r->length;
  if (same) {
    fill(r->correlation, r->length);
    same = r->length == 0 || memcmp(payload, r->payload, r->length) == 0;
  }
  printf("response %" PRIu64 " %" PRIu64 " %s\n", r->number, r->correlation, same ? "same" : "other");
}

static void on_refused(void *context, uint64_t correlation, uint16_t code) {
  (void)context;
  printf("refused %" PRIu64 " %u\n", correlation, (unsigned)code);
}

static void on_event(void *context, const ls_event *e) {
  (void)context;
  if (e->kind == LS_CONNECTED)
    printf("connected %" PRIu64 " %" PRIu32 " %" PRIu32 "\n", e->session, e->term, e->leader);
  if (e->kind == LS_CLOSED) {
    printf("closed %u\n", (unsigned)e->code);
    exit_code = 0;
  }
}

static void remember(uint64_t correlation, uint32_t length) {
  if (correlation >= lengths_room) {
    lengths_room = correlation * 2 + 64;
    lengths = realloc(lengths, lengths_room * sizeof *lengths);
    if (lengths == NULL) abort();
  }
  lengths[correlation] = length;
}

// work_on sends as much of the job as the window takes.
static void work_on(ls_client *c, uint64_t *next) {
  while (job.count > 0) {
    uint64_t correlation = 0;
    fill(*next, job.length);
    ls_result r = ls_send(c, job.service, job.levels, payload, job.length, &correlation);
    if (r == LS_FULL) return;
    if (r != LS_OK || correlation != *next) {
      fprintf(stderr, "message %" PRIu64 " of %" PRIu32 " bytes: result %d\n", *next, job.length, (int)r);
      exit(1);
    }
    remember(correlation, job.length);
    if (job.void_now) ls_void(c, correlation);
    if (job.void_late) late = correlation;
    ++*next;
    job.count--;
  }
}

static bool parse(ls_client *c, const char *line) {
  unsigned service = 0, count = 1, levels = 0, length = 0;
  memset(&job, 0, sizeof job);
  if (strcmp(line, "close") == 0) {
    ls_close(c);
    return true;
  }
  job.void_now = sscanf(line, "void %u %u %u", &service, &levels, &length) == 3;
  job.void_late = sscanf(line, "late %u %u %u", &service, &levels, &length) == 3;
  if (!job.void_now && !job.void_late && sscanf(line, "send %u %u %u %u", &service, &count, &levels, &length) != 4)
    return false;
  job.service = (uint16_t)service;
  job.levels = (uint8_t)levels;
  job.count = count;
  job.length = length;
  return length <= LS_MAX_MESSAGE;
}

// commands takes the next line once the job before is done.
static void commands(ls_client *c, char *text, size_t *n) {
  char *end = memchr(text, '\n', *n);
  if (job.count > 0 || late != 0 || end == NULL) return;
  *end = 0;
  if (!parse(c, text)) {
    fprintf(stderr, "what is %s\n", text);
    exit(1);
  }
  size_t used = (size_t)(end - text) + 1;
  memmove(text, text + used, *n - used);
  *n -= used;
}

static void run(ls_client *c) {
  char text[4096];
  size_t n = 0;
  uint64_t next = 1;
  while (!ls_is_closed(c)) {
    int64_t ms = (ls_due(c) - ls_now() + 999999) / 1000000;
    struct pollfd f[2] = {{.fd = ls_fd(c), .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
    poll(f, n < sizeof text ? 2 : 1, ms < 0 ? 0 : ms > 100 ? 100 : (int)ms);
    if (f[1].revents != 0 && n < sizeof text) {
      ssize_t more = read(STDIN_FILENO, text + n, sizeof text - n);
      if (more <= 0) exit(1); // the test is gone
      n += (size_t)more;
    }
    commands(c, text, &n);
    work_on(c, &next);
    ls_poll(c, ls_now());
    if (late_reached) {
      ls_void(c, late);
      late = 0;
      late_reached = false;
    }
  }
}

int main(int argc, char **argv) {
  struct sockaddr_in nodes[LS_MAX_ADDRESSES];
  ls_options o = {.nodes = nodes, .name = "session test", .node_count = 0};
  if (argc < 3 || argc - 2 > LS_MAX_ADDRESSES) return 2;
  o.cluster = strtoull(argv[1], NULL, 16);
  for (int i = 2; i < argc; i++) {
    char *colon = strrchr(argv[i], ':');
    if (colon == NULL) return 2;
    *colon = 0;
    nodes[o.node_count] = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(colon + 1))};
    if (inet_pton(AF_INET, argv[i], &nodes[o.node_count++].sin_addr) != 1) return 2;
  }
  o.handlers = (ls_handlers){.ack = on_ack, .response = on_response, .refused = on_refused, .event = on_event};
  ls_client *c = ls_open(&o, ls_now());
  if (c == NULL) {
    perror("open the client");
    return 1;
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
  run(c);
  ls_free(c);
  free(lengths);
  return exit_code;
}
