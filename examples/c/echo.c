// echo sends every line of its standard input to the echo service and prints what comes back:
//
//   echo CLUSTER NODE... < lines        a node is address:port, the cluster id is hexadecimal
//
// It ends at the end of its input when all lines are answered: with 0 when the session was closed as asked.
#define _POSIX_C_SOURCE 200809L

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lockstep.h"

static int exit_code = 1;

static void on_ack(void *context, const ls_ack *a) {
  (void)context;
  printf("line %" PRIu64 " is sequenced as record %" PRIu64 "\n", a->correlation, a->sequence);
}

static void on_response(void *context, const ls_response *r) {
  (void)context;
  printf("line %" PRIu64 " comes back: %.*s\n", r->correlation, (int)r->length, (const char *)r->payload);
}

static void on_refused(void *context, uint64_t correlation, uint16_t code) {
  (void)context;
  printf("line %" PRIu64 " is refused: %s\n", correlation, ls_code_name(code));
}

static void on_event(void *context, const ls_event *e) {
  (void)context;
  switch (e->kind) {
  case LS_CONNECTED:
    fprintf(stderr, "session %016" PRIx64 ": node %" PRIu32 " leads in term %" PRIu32 "\n", e->session, e->leader,
            e->term);
    break;
  case LS_LOST:
    fprintf(stderr, "the leader is gone, looking for another\n");
    break;
  case LS_BUSY:
    fprintf(stderr, "the cluster says %s\n", ls_code_name(e->code));
    break;
  case LS_CLOSED:
    fprintf(stderr, "closed: %s\n", ls_code_name(e->code));
    exit_code = e->code == 0 || e->code == 7 ? 0 : 1;
    break;
  }
}

static bool parse_node(char *text, struct sockaddr_in *node) {
  char *colon = strrchr(text, ':');
  if (colon == NULL) return false;
  *colon = 0;
  *node = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(colon + 1))};
  return inet_pton(AF_INET, text, &node->sin_addr) == 1;
}

// The bytes of standard input that are not sent yet.
static char input[LS_MAX_MESSAGE];
static size_t filled;

// send_lines sends the whole lines that are there; at the end of the input what is left is a line, too.
static void send_lines(ls_client *c, bool at_end) {
  for (;;) {
    char *newline = memchr(input, '\n', filled);
    bool all = newline == NULL && (filled == sizeof input || (at_end && filled > 0));
    if (newline == NULL && !all) return;
    size_t length = all ? filled : (size_t)(newline - input), gone = all ? filled : length + 1;
    if (ls_send(c, LS_ECHO, LS_ASK(LS_SEQUENCED), input, length, NULL) != LS_OK) return;
    memmove(input, input + gone, filled - gone);
    filled -= gone;
  }
}

// wait_for waits until there is input or the client has something to do, and reads the input; false at its end.
static bool wait_for(ls_client *c, bool reading) {
  int64_t ms = (ls_due(c) - ls_now() + 999999) / 1000000;
  struct pollfd f[2] = {{.fd = ls_fd(c), .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
  bool room = reading && filled < sizeof input;
  if (poll(f, room ? 2 : 1, ms < 0 ? 0 : ms > 1000 ? 1000 : (int)ms) < 0 && errno != EINTR) return false;
  if (!room || f[1].revents == 0) return reading;
  ssize_t n = read(STDIN_FILENO, input + filled, sizeof input - filled);
  if (n > 0) filled += (size_t)n;
  return n > 0;
}

int main(int argc, char **argv) {
  struct sockaddr_in nodes[LS_MAX_ADDRESSES];
  ls_options o = {.nodes = nodes, .name = "echo.c"};
  if (argc < 3 || argc - 2 > LS_MAX_ADDRESSES) {
    fprintf(stderr, "usage: echo CLUSTER ADDRESS:PORT...\n");
    return 2;
  }
  o.cluster = strtoull(argv[1], NULL, 16);
  for (int i = 2; i < argc; i++)
    if (!parse_node(argv[i], &nodes[o.node_count++])) {
      fprintf(stderr, "not an IPv4 address and port: %s\n", argv[i]);
      return 2;
    }
  o.handlers = (ls_handlers){.ack = on_ack, .response = on_response, .refused = on_refused, .event = on_event};
  ls_client *c = ls_open(&o, ls_now());
  if (c == NULL) {
    perror("open the client");
    return 1;
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (bool reading = true; !ls_is_closed(c);) {
    reading = wait_for(c, reading);
    send_lines(c, !reading);
    if (!reading && filled == 0) ls_close(c);
    ls_poll(c, ls_now());
  }
  ls_free(c);
  return exit_code;
}
