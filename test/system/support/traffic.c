// Numbered packets both ways between two namespaces, counted exactly: one end of it.
//
//   traffic ID ADDRESS4 ADDRESS6 PEER4 PEER6
//
// FLOWS flows of UDP per family between equal ports, so that ECMP spreads them. One packet per millisecond and family, the
// flows in turn; who was late sends what is due. Commands on stdin, one answer line each:
//
//   listen N  epoch N begins: packets of other epochs are ignored from here on
//   begin     sends, numbers from 0
//   stop      send no more; {"4":n,"6":n} is how many were sent, refused ones included
//   report    what arrived in this epoch, by sender, family and flow: ranges of numbers, duplicates, reordered ones, the
//             longest time between two arrivals in microseconds; and packets that this end's sockets had no room for,
//             which the network has delivered
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FLOWS = 16, SENDERS = 4, PORT = 9000, MOST = 1 << 16, ROOM = 8 << 20 };

struct packet {
  uint32_t epoch, sender, family, flow, number;
};

struct stream {
  uint8_t seen[MOST / 8];
  uint32_t next, received, duplicates, reordered;
  uint64_t last, gap;
};

static struct stream streams[SENDERS][2][FLOWS];
static int sockets[2][FLOWS];
static struct sockaddr_storage peers[2];
static uint32_t epoch, sender, sent[2];
static int sending;
static uint64_t began;

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void fail(const char *what) {
  fprintf(stderr, "traffic: %s: %s\n", what, strerror(errno));
  exit(1);
}

static socklen_t address(struct sockaddr_storage *to, int six, const char *text, int port) {
  memset(to, 0, sizeof *to);
  struct sockaddr_in *in = (void *)to;
  struct sockaddr_in6 *in6 = (void *)to;
  to->ss_family = six ? AF_INET6 : AF_INET;
  if (inet_pton(to->ss_family, text, six ? (void *)&in6->sin6_addr : (void *)&in->sin_addr) != 1) fail(text);
  in->sin_port = htons(port); // at the same place in both
  return six ? sizeof *in6 : sizeof *in;
}

static void open_sockets(int six, const char *local) {
  for (int flow = 0; flow < FLOWS; flow++) {
    int fd = socket(six ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), room = ROOM;
    struct sockaddr_storage at;
    socklen_t length = address(&at, six, local, PORT + flow);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room)) fail("socket");
    if (bind(fd, (void *)&at, length)) fail(local);
    sockets[six][flow] = fd;
  }
}

static void send_due(void) {
  uint64_t due = (now() - began) / 1000;
  for (int six = 0; six < 2; six++)
    for (; sent[six] < due && sent[six] < (uint32_t)MOST * FLOWS; sent[six]++) {
      uint32_t flow = sent[six] % FLOWS;
      struct packet out = {epoch, sender, six, flow, sent[six] / FLOWS};
      struct sockaddr_storage to = peers[six];
      ((struct sockaddr_in *)&to)->sin_port = htons(PORT + flow);
      // Refused by a routing table is lost like any other.
      sendto(sockets[six][flow], &out, sizeof out, 0, (void *)&to, six ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
    }
}

static void receive(int fd) {
  struct packet in;
  while (recv(fd, &in, sizeof in, 0) == sizeof in) {
    if (in.epoch != epoch || in.sender >= SENDERS || in.family > 1 || in.flow >= FLOWS || in.number >= MOST) continue;
    struct stream *s = &streams[in.sender][in.family][in.flow];
    uint64_t at = now();
    if (s->last && at - s->last > s->gap) s->gap = at - s->last;
    s->last = at;
    if (s->seen[in.number / 8] & 1 << in.number % 8) {
      s->duplicates++;
      continue;
    }
    s->seen[in.number / 8] |= 1 << in.number % 8;
    s->received++;
    if (in.number < s->next) s->reordered++;
    else s->next = in.number + 1;
  }
}

static uint64_t overflows(const char *file, const char *six) {
  char line[4096], names[4096] = "";
  uint64_t total = 0;
  FILE *f = fopen(file, "r");
  if (!f) return 0;
  while (fgets(line, sizeof line, f)) {
    if (six) {
      if (!strncmp(line, six, strlen(six))) total += strtoull(line + strlen(six), NULL, 10);
      continue;
    }
    if (strncmp(line, "Udp:", 4)) continue;
    if (!*names) {
      strcpy(names, line);
      continue;
    }
    char *n, *v, *name = strtok_r(names, " \n", &n), *value = strtok_r(line, " \n", &v);
    for (; name && value; name = strtok_r(NULL, " \n", &n), value = strtok_r(NULL, " \n", &v))
      if (!strcmp(name, "RcvbufErrors")) total += strtoull(value, NULL, 10);
    break;
  }
  fclose(f);
  return total;
}

static void report(void) {
  printf("{\"overflows\":%llu,\"streams\":[", (unsigned long long)(overflows("/proc/net/snmp", NULL) + overflows("/proc/net/snmp6", "Udp6RcvbufErrors")));
  int some = 0;
  for (int from = 0; from < SENDERS; from++)
    for (int six = 0; six < 2; six++)
      for (int flow = 0; flow < FLOWS; flow++) {
        struct stream *s = &streams[from][six][flow];
        if (!s->received) continue;
        printf("%s{\"sender\":%d,\"family\":%d,\"flow\":%d,\"duplicates\":%u,\"reordered\":%u,\"gap\":%llu,\"ranges\":[", some++ ? "," : "", from,
               six ? 6 : 4, flow, s->duplicates, s->reordered, (unsigned long long)s->gap);
        int first = 1;
        for (uint32_t i = 0; i < s->next; i++) {
          if (!(s->seen[i / 8] & 1 << i % 8)) continue;
          uint32_t start = i;
          while (i + 1 < s->next && s->seen[(i + 1) / 8] & 1 << (i + 1) % 8) i++;
          printf("%s[%u,%u]", first ? "" : ",", start, i);
          first = 0;
        }
        printf("]}");
      }
  printf("]}\n");
}

static void command(char *line) {
  if (!strncmp(line, "listen ", 7)) {
    epoch = strtoul(line + 7, NULL, 10);
    memset(streams, 0, sizeof streams);
    sending = 0;
    sent[0] = sent[1] = 0;
    printf("{}\n");
  } else if (!strncmp(line, "begin", 5)) {
    began = now();
    sending = 1;
    printf("{}\n");
  } else if (!strncmp(line, "stop", 4)) {
    if (sending) send_due();
    sending = 0;
    printf("{\"4\":%u,\"6\":%u}\n", sent[0], sent[1]);
  } else if (!strncmp(line, "report", 6)) {
    report();
  }
  fflush(stdout);
}

int main(int argc, char **argv) {
  if (argc != 6) return 2;
  sender = atoi(argv[1]);
  for (int six = 0; six < 2; six++) {
    open_sockets(six, argv[2 + six]);
    address(&peers[six], six, argv[4 + six], PORT);
  }
  printf("{}\n");
  fflush(stdout);
  static char line[256];
  size_t length = 0;
  for (;;) {
    struct pollfd fds[1 + 2 * FLOWS] = {{.fd = 0, .events = POLLIN}};
    for (int i = 0; i < 2 * FLOWS; i++) fds[1 + i] = (struct pollfd){.fd = sockets[i / FLOWS][i % FLOWS], .events = POLLIN};
    if (poll(fds, 1 + 2 * FLOWS, sending ? 1 : -1) < 0 && errno != EINTR) fail("poll");
    for (int i = 1; i <= 2 * FLOWS; i++)
      if (fds[i].revents) receive(fds[i].fd);
    if (sending) send_due();
    if (!fds[0].revents) continue;
    ssize_t got = read(0, line + length, sizeof line - 1 - length);
    if (got <= 0) return 0;
    length += got;
    for (char *end; (end = memchr(line, '\n', length)) != NULL;) {
      *end = 0;
      command(line);
      size_t used = end + 1 - line;
      memmove(line, end + 1, length - used);
      length -= used;
    }
  }
}
