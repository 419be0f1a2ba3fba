// Traffic, and little else that a count of instructions would see.
//
//     traffic rest COUNT MICROSECONDS       sleeps so often, and sends nothing
//     traffic send ADDRESS PORT BYTES COUNT MICROSECONDS   UDP datagrams, with so long between them
//     traffic receive PORT COUNT     ends after so many of them, or 20 s without; prints how many
//     traffic give ADDRESS PORT BYTES       a TCP stream; ends when the other end has taken all of it
//     traffic take PORT                     one such stream; prints its bytes

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static char data[65536];

static int reach(int wire, char **words) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(words[1]))};
    if (inet_pton(AF_INET, words[0], &to.sin_addr) == 1 &&
        !connect(wire, (struct sockaddr *)&to, sizeof to))
        return 0;
    perror(words[0]);
    return 1;
}

static int wait_at(int wire, const char *port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    struct timeval silence = {.tv_sec = 20};
    int again = 1;
    if (!setsockopt(wire, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof silence) &&
        !setsockopt(wire, SOL_SOCKET, SO_REUSEADDR, &again, sizeof again) &&
        !bind(wire, (struct sockaddr *)&at, sizeof at))
        return 0;
    perror("bind");
    return 1;
}

static struct timespec pause_of(const char *microseconds) {
    long length = atol(microseconds);
    return (struct timespec){length / 1000000, length % 1000000 * 1000};
}

static int rest(int wire, char **words) {
    struct timespec gap = pause_of(words[1]);
    (void)wire;
    for (long left = atol(words[0]); left; left--)
        nanosleep(&gap, NULL);
    return 0;
}

static int send_all(int wire, char **words) {
    if (reach(wire, words))
        return 1;
    size_t size = strtoul(words[2], NULL, 10);
    struct timespec gap = pause_of(words[4]);
    for (long left = atol(words[3]); left; left--) {
        if (size > sizeof data || send(wire, data, size, 0) != (ssize_t)size) {
            perror("send");
            return 1;
        }
        nanosleep(&gap, NULL);
    }
    return 0;
}

static int receive_all(int wire, char **words) {
    long wanted = atol(words[1]), seen = 0;
    if (wait_at(wire, words[0]))
        return 1;
    while (seen < wanted && recv(wire, data, sizeof data, 0) >= 0)
        seen++;
    printf("%ld\n", seen);
    return 0;
}

static int give(int wire, char **words) {
    if (reach(wire, words))
        return 1;
    for (long left = atol(words[2]); left;) {
        ssize_t taken = write(wire, data, left < (long)sizeof data ? left : (long)sizeof data);
        if (taken < 0) {
            perror("write");
            return 1;
        }
        left -= taken;
    }
    shutdown(wire, SHUT_WR);
    return read(wire, data, sizeof data) != 0;
}

static int take(int wire, char **words) {
    long seen = 0;
    ssize_t got;
    if (wait_at(wire, words[0]) || listen(wire, 1))
        return 1;
    int stream = accept(wire, NULL, NULL);
    while ((got = read(stream, data, sizeof data)) > 0)
        seen += got;
    printf("%ld\n", seen);
    return got != 0;
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        int words, kind;
        int (*run)(int wire, char **words);
    } ways[] = {
        {"rest", 2, SOCK_DGRAM, rest},
        {"send", 5, SOCK_DGRAM, send_all},
        {"receive", 2, SOCK_DGRAM, receive_all},
        {"give", 3, SOCK_STREAM, give},
        {"take", 1, SOCK_STREAM, take},
    };
    for (size_t n = 0; n < sizeof ways / sizeof *ways; n++)
        if (argc == 2 + ways[n].words && !strcmp(argv[1], ways[n].name))
            return ways[n].run(socket(AF_INET, ways[n].kind, 0), argv + 2);
    fprintf(stderr, "usage: traffic rest | send | receive | give | take, see its source\n");
    return 2;
}
