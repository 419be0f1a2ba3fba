// Sends UDP datagrams at a pace, or receives them; little else that a count of instructions would see.
//
//     datagrams send ADDRESS PORT BYTES COUNT MICROSECONDS
//     datagrams receive PORT COUNT         ends after so many, or 20 s without; prints how many

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

static int send_all(int wire, char **words) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(words[1]))};
    if (inet_pton(AF_INET, words[0], &to.sin_addr) != 1 ||
        connect(wire, (struct sockaddr *)&to, sizeof to)) {
        perror(words[0]);
        return 1;
    }
    size_t size = strtoul(words[2], NULL, 10);
    long pause = atol(words[4]) * 1000;
    struct timespec gap = {.tv_sec = pause / 1000000000, .tv_nsec = pause % 1000000000};
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
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(words[0]))};
    struct timeval silence = {.tv_sec = 20};
    long wanted = atol(words[1]), seen = 0;
    if (setsockopt(wire, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof silence) ||
        bind(wire, (struct sockaddr *)&at, sizeof at)) {
        perror("bind");
        return 1;
    }
    while (seen < wanted && recv(wire, data, sizeof data, 0) >= 0)
        seen++;
    printf("%ld\n", seen);
    return 0;
}

int main(int argc, char **argv) {
    int wire = socket(AF_INET, SOCK_DGRAM, 0);
    if (argc == 7 && !strcmp(argv[1], "send"))
        return send_all(wire, argv + 2);
    if (argc == 4 && !strcmp(argv[1], "receive"))
        return receive_all(wire, argv + 2);
    fprintf(stderr, "usage: send ADDRESS PORT BYTES COUNT MICROSECONDS | receive PORT COUNT\n");
    return 2;
}
