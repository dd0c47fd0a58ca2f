// underlay: the CNI plugin as runtimes execute it. It carries CNI_* and stdin to the daemon and the answer back.
//
// In: CNI_* environment, network configuration on stdin. Out: stdout and exit code of a CNI plugin.
// Answered here, without the daemon: the banner, VERSION, a bad environment, and a DEL while the daemon is away, which
// is written to a spool directory beside the socket (fsync, rename) and counts as done: the daemon replays it.
// A static program without dependencies, because a runtime starts it for every verb of every pod; where client-system.c
// knows the processor even without a C library, so only a handful of its functions may be used here.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#ifndef VERSION
#define VERSION "unknown"
#endif
#define DEFAULT_SOCKET "/run/underlay/underlayd.sock"
#define VERSIONS "0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"
#define NEWEST "1.1.0"
#define STDIN_LIMIT (1u << 20)
#define ANSWER_LIMIT (64u << 20)
#define PEEK_TIMEOUT 100 // milliseconds: a runtime writes stdin right after the start
#define ANSWER_TIMEOUT 120 // seconds; a runtime gives up earlier
#define SPOOL_LIMIT (400 << 10) // bytes of the spool's directory: some 10,000 files on a disk, 20,000 in memory
enum { BAD_ENVIRONMENT = 4, IO = 5, DECODE = 6, TRY_AGAIN = 11, NOT_AVAILABLE = 50 };

extern char **environ;
typedef struct { char *data; size_t length, size; } buffer;
static buffer config; // stdin
static char config_version[64];

static void append(buffer *b, const void *data, size_t length) {
  if (b->length + length + 1 > b->size) {
    size_t size = (b->length + length + 1) * 2;
    char *grown = realloc(b->data, size);
    if (!grown) _exit(IO);
    b->data = grown; b->size = size;
  }
  memcpy(b->data + b->length, data, length);
  b->length += length;
  b->data[b->length] = 0;
}

static void append_text(buffer *b, const char *text) { append(b, text, strlen(text)); }

static void append_json(buffer *b, const char *text) { // the inside of a JSON string
  for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
    char escape[8];
    if (*p == '"' || *p == '\\') snprintf(escape, sizeof escape, "\\%c", *p);
    else if (*p < 0x20) snprintf(escape, sizeof escape, "\\u%04x", *p);
    else { escape[0] = (char)*p; escape[1] = 0; }
    append_text(b, escape);
  }
}

static int write_all(int fd, const char *data, size_t length) {
  while (length > 0) {
    ssize_t n = write(fd, data, length);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    data += n; length -= (size_t)n;
  }
  return 0;
}

static _Noreturn void fail_about(int code, const char *details, const char *format, ...) __attribute__((format(printf, 3, 4)));
#define fail(code, ...) fail_about(code, "", __VA_ARGS__)
static _Noreturn void fail_about(int code, const char *details, const char *format, ...) {
  char message[1024], head[64];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  buffer out = { 0 };
  append_text(&out, "{\"cniVersion\":\"");
  append_json(&out, config_version[0] ? config_version : NEWEST);
  snprintf(head, sizeof head, "\",\"code\":%d,\"msg\":\"", code);
  append_text(&out, head);
  append_json(&out, message);
  if (*details) { append_text(&out, "\",\"details\":\""); append_json(&out, details); }
  append_text(&out, "\"}\n");
  write_all(STDOUT_FILENO, out.data, out.length);
  _exit(1);
}

// ---- the two keys of the configuration that matter here, found without building a tree ----
static const char *skip_string(const char *p, const char *end) { // p: after the opening quote -> at the closing one
  for (; p < end && *p != '"'; p++) if (*p == '\\') p++;
  return p < end ? p : NULL;
}

static void copy_string(const char *p, const char *end, char *out, size_t size) {
  size_t n = 0;
  for (; p < end; p++) {
    char c = *p;
    if (c == '\\' && ++p < end) {
      if (*p == 'u') { out[0] = 0; return; } // no path or version of ours needs it
      c = *p == 'n' ? '\n' : *p == 't' ? '\t' : *p == 'r' ? '\r' : *p == 'b' ? '\b' : *p == 'f' ? '\f' : *p;
    }
    if (n + 1 >= size) { out[0] = 0; return; } // longer than anything that could be meant
    out[n++] = c;
  }
  out[n] = 0;
}

// The string value of a key of the outermost object; "" when it is absent or no string.
static void find_key(const char *key, char *out, size_t size) {
  const char *p = config.data, *end = config.data + config.length;
  size_t key_length = strlen(key);
  int depth = 0;
  out[0] = 0;
  for (; p && p < end; p++) {
    if (*p == '{' || *p == '[') depth++;
    else if (*p == '}' || *p == ']') depth--;
    else if (*p == '"') {
      const char *start = p + 1, *close = skip_string(start, end);
      if (!close) return;
      const char *next = close + 1;
      while (next < end && strchr(" \t\r\n", *next)) next++;
      if (depth == 1 && next < end && *next == ':' && (size_t)(close - start) == key_length && !strncasecmp(start, key, key_length)) {
        next++;
        while (next < end && strchr(" \t\r\n", *next)) next++;
        if (next >= end || *next != '"') return;
        const char *value_end = skip_string(next + 1, end);
        if (value_end) copy_string(next + 1, value_end, out, size);
        return;
      }
      p = close;
    }
  }
}

static void read_config(void) {
  char chunk[16384];
  for (;;) {
    ssize_t n = read(STDIN_FILENO, chunk, sizeof chunk);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(IO, "cannot read the network configuration from stdin (errno %d)", errno);
    if (n == 0) break;
    if (config.length + (size_t)n > STDIN_LIMIT) fail(IO, "network configuration on stdin is longer than %u MiB", STDIN_LIMIT >> 20);
    append(&config, chunk, (size_t)n);
  }
  if (!config.data) append(&config, "", 0);
  find_key("cniVersion", config_version, sizeof config_version);
  if (!config_version[0] && config.length > 0) strcpy(config_version, "0.1.0"); // what an absent one means
}

// Without an object there is no socket to ask: said here, so that it is not taken for a daemon that is away.
static void check_config(void) {
  const char *p = config.data;
  while (*p && strchr(" \t\r\n", *p)) p++;
  if (*p != '{') fail(DECODE, "the network configuration on stdin %s", *p ? "is not a JSON object" : "is empty");
}

// Looks at what there is of stdin, which nobody may ever write or close.
static void peek_version(int milliseconds) {
  struct pollfd readable = { STDIN_FILENO, POLLIN, 0 };
  char chunk[16384];
  while (config.length < sizeof chunk && poll(&readable, 1, milliseconds) == 1 && (readable.revents & POLLIN)) {
    ssize_t n = read(STDIN_FILENO, chunk, sizeof chunk);
    if (n <= 0) break;
    append(&config, chunk, (size_t)n);
  }
  if (config.data) find_key("cniVersion", config_version, sizeof config_version);
  if (milliseconds > 0 && config.length > 0 && !config_version[0]) strcpy(config_version, "0.1.0");
}

static _Noreturn void answer_version(void) {
  peek_version(0); // it must not wait
  static const char *const versions[] = { VERSIONS };
  buffer out = { 0 };
  append_text(&out, "{\"cniVersion\":\"");
  append_json(&out, config_version[0] ? config_version : NEWEST);
  append_text(&out, "\",\"supportedVersions\":[");
  for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
    append_text(&out, i ? ",\"" : "\"");
    append_text(&out, versions[i]);
    append_text(&out, "\"");
  }
  append_text(&out, "]}\n");
  _exit(write_all(STDOUT_FILENO, out.data, out.length) ? 1 : 0);
}

static void banner(void) {
  static const char *const versions[] = { VERSIONS };
  buffer out = { 0 };
  append_text(&out, "CNI underlay plugin " VERSION "\nCNI protocol versions supported: ");
  for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
    append_text(&out, i ? ", " : "");
    append_text(&out, versions[i]);
  }
  append_text(&out, "\n");
  write_all(STDERR_FILENO, out.data, out.length);
}

static _Noreturn void refuse_environment(const char *message, const char *details) {
  peek_version(PEEK_TIMEOUT);
  fail_about(BAD_ENVIRONMENT, details, "%s", message);
}

static int is_alphanumeric(unsigned char c) { return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z'); }

static void check_container_id(const char *id) {
  int good = is_alphanumeric((unsigned char)*id);
  for (const char *p = id; *p; p++) if (!is_alphanumeric((unsigned char)*p) && *p != '_' && *p != '.' && *p != '-') good = 0;
  if (!good) refuse_environment("invalid characters in containerID", id);
}

// What is beyond ASCII is the daemon's to judge.
static void check_ifname(const char *name) {
  if (strlen(name) > 15) refuse_environment("interface name is too long: 15 bytes at most", name);
  if (!strcmp(name, ".") || !strcmp(name, "..")) refuse_environment("interface name is . or ..", name);
  for (const unsigned char *p = (const unsigned char *)name; *p; p++) {
    if (*p == '/' || *p == ':' || *p == '%' || *p == ' ' || (*p >= 9 && *p <= 13))
      refuse_environment("interface name contains / or : or % or whitespace", name);
    if (*p < 32 || *p == 127) refuse_environment("interface name contains a control character", name);
  }
}

// In the order of the reference skeleton: a bad value ends it, missing ones are reported together.
static void check_environment(const char *command) {
  static const struct { const char *verb, *variables[5]; } required[] = {
    { "ADD", { "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH" } },
    { "CHECK", { "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH" } },
    { "DEL", { "CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH" } },
    { "STATUS", { "CNI_PATH" } },
    { "GC", { "CNI_PATH" } },
  };
  for (size_t i = 0; i < sizeof required / sizeof *required; i++) {
    if (strcmp(required[i].verb, command)) continue;
    buffer missing = { 0 };
    for (const char *const *name = required[i].variables; *name; name++) {
      const char *value = getenv(*name);
      if (value && *value) {
        if (i < 3 && !strcmp(*name, "CNI_CONTAINERID")) check_container_id(value);
        if (i < 3 && !strcmp(*name, "CNI_IFNAME")) check_ifname(value);
        continue;
      }
      if (missing.length) append_text(&missing, ",");
      append_text(&missing, *name);
    }
    if (!missing.length) return;
    peek_version(PEEK_TIMEOUT);
    fail(BAD_ENVIRONMENT, "required env variables [%s] missing", missing.data);
  }
  peek_version(PEEK_TIMEOUT);
  fail(BAD_ENVIRONMENT, "unknown CNI_COMMAND: %s", command);
}

static void build_body(buffer *body) { // KEY=VALUE\0 ... \0 stdin
  for (char **entry = environ; *entry; entry++)
    if (!strncmp(*entry, "CNI_", 4)) append(body, *entry, strlen(*entry) + 1);
  append(body, "", 1);
  append(body, config.data, config.length);
}

static int connect_daemon(const char *path) {
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  if (strlen(path) >= sizeof address.sun_path) { errno = ENAMETOOLONG; return -1; }
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  struct timeval timeout = { ANSWER_TIMEOUT, 0 };
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  if (connect(fd, (struct sockaddr *)&address, sizeof address)) { int e = errno; close(fd); errno = e; return -1; }
  return fd;
}

// Head and body leave in one piece when they fit the socket: the daemon then has the whole call when it wakes up.
static void send_request(int fd, const buffer *body) {
  char head[256];
  int length = snprintf(head, sizeof head, "POST /v1/cni HTTP/1.1\r\nHost: underlay\r\nContent-Type: application/vnd.underlay.cni\r\n"
    "Content-Length: %zu\r\nConnection: close\r\n\r\n", body->length);
  struct iovec parts[2] = { { head, (size_t)length }, { body->data, body->length } };
  ssize_t n = writev(fd, parts, 2);
  size_t sent = n > 0 ? (size_t)n : 0;
  if (sent < (size_t)length) { // never seen on a fresh socket
    if (write_all(fd, head + sent, (size_t)length - sent)) return;
    sent = (size_t)length;
  }
  write_all(fd, body->data + (sent - (size_t)length), body->length - (sent - (size_t)length));
}

// Sends the request and prints the answer. Returns the exit code, or -1 when there was no whole answer: `*why` says so.
static int ask_daemon(int fd, const buffer *body, const char **why) {
  char chunk[16384];
  buffer answer = { 0 };
  size_t head = 0, wanted = 0; // bytes of the answer's head, and of its content
  int code = IO;
  *why = "closed the connection before it had answered";
  // A daemon that refuses early closes its end: read its answer even when not everything could be sent.
  send_request(fd, body);
  while (!head || answer.length - head < wanted) {
    ssize_t n = read(fd, chunk, sizeof chunk);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) *why = "did not answer in time";
    if (n <= 0) return -1;
    append(&answer, chunk, (size_t)n);
    if (answer.length > ANSWER_LIMIT) { *why = "sent too long an answer"; return -1; }
    char *end = head ? NULL : strstr(answer.data, "\r\n\r\n");
    if (!end) continue;
    *end = 0;
    head = (size_t)(end - answer.data) + 4;
    char *exit_code = strcasestr(answer.data, "\r\nunderlay-exit:");
    char *declared = strcasestr(answer.data, "\r\ncontent-length:");
    if (strncmp(answer.data, "HTTP/1.", 7) || !exit_code || !declared || strncmp(answer.data + 8, " 200", 4)) {
      *why = "gave an answer that is not one to a CNI call; is another program listening there?";
      return -1;
    }
    wanted = strtoul(declared + strlen("\r\ncontent-length:"), NULL, 10);
    code = (int)strtoul(exit_code + strlen("\r\nunderlay-exit:"), NULL, 10);
  }
  return write_all(STDOUT_FILENO, answer.data + head, wanted) ? IO : code;
}

static int sync_directory(const char *path) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return -1;
  int result = fsync(fd);
  close(fd);
  return result;
}

// Why the spool must not be written to, by the words of its name; NULL: it may. A link to elsewhere, or a directory
// that others may write to, could make root write somewhere else; and a runtime that tries for days must not fill the
// memory.
static const char *spool_refusal(const char *directory) {
  struct stat status;
  int fd = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return "cannot be opened";
  int result = fstat(fd, &status);
  close(fd);
  if (result) return "cannot be looked at";
  if (status.st_uid != 0 && status.st_uid != geteuid()) return "belongs to another user";
  if (status.st_mode & 022) return "may be written to by others";
  return status.st_size > SPOOL_LIMIT ? "is full" : NULL;
}

// A DEL for later. Returns the path of the spooled file; does not return when it cannot be made to last.
static const char *spool(const char *socket_path, const buffer *body, const char *why) {
  static char directory[PATH_MAX], temporary[PATH_MAX + 64], final[PATH_MAX + 64];
  char parent[PATH_MAX];
  snprintf(parent, sizeof parent, "%s", socket_path);
  char *slash = strrchr(parent, '/');
  if (slash) *slash = 0;
  else strcpy(parent, ".");
  snprintf(directory, sizeof directory, "%s/spool", parent);
  mkdir(parent, 0700);
  mkdir(directory, 0700);
  const char *refusal = spool_refusal(directory);
  if (refusal) fail(TRY_AGAIN, "underlayd %s, and the DEL cannot be kept for later: %s %s", why, directory, refusal);
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  snprintf(temporary, sizeof temporary, "%s/.%lld.%09ld-%d", directory, (long long)now.tv_sec, now.tv_nsec, (int)getpid());
  snprintf(final, sizeof final, "%s/%lld.%09ld-%d.del", directory, (long long)now.tv_sec, now.tv_nsec, (int)getpid());
  int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0 || write_all(fd, body->data, body->length) || fsync(fd) || close(fd) || rename(temporary, final) || sync_directory(directory)) {
    int e = errno;
    unlink(temporary);
    fail(TRY_AGAIN, "underlayd %s, and the DEL cannot be kept for later in %s (errno %d)", why, directory, e);
  }
  sync_directory(parent);
  return final;
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  const char *command = getenv("CNI_COMMAND");
  if (!command || !*command) { banner(); return 0; }
  if (!strcmp(command, "VERSION")) answer_version();
  check_environment(command);
  read_config();
  check_config();

  char path[PATH_MAX];
  const char *override = getenv("UNDERLAY_SOCKET");
  if (override && *override) snprintf(path, sizeof path, "%s", override);
  else find_key("socket", path, sizeof path);
  if (!path[0]) strcpy(path, DEFAULT_SOCKET);

  buffer body = { 0 };
  build_body(&body);
  const char *why = "is not running or still starting";
  int fd = connect_daemon(path), code = -1;
  if (fd >= 0) {
    code = ask_daemon(fd, &body, &why);
    close(fd);
    if (code >= 0) return code;
  }
  if (!strcmp(command, "DEL")) {
    const char *spooled = spool(path, &body, why);
    // The daemon may have come up, and looked into the spool, before the file was there.
    fd = connect_daemon(path);
    if (fd < 0) return 0;
    code = ask_daemon(fd, &body, &why);
    if (code == 0) unlink(spooled);
    return code > 0 ? code : 0;
  }
  // The words of errno are left out: "no such file" would tell some runtimes that the container is gone.
  fail(!strcmp(command, "STATUS") ? NOT_AVAILABLE : TRY_AGAIN, "underlayd %s (socket %s); try again", why, path);
}
