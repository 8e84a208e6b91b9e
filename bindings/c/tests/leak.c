/* Forgets a handle: what watches the other programs must find it. */
#include <partstad.h>

int main(void) {
    partstad_device *device;
    return partstad_device_open("cpu", &device) != PARTSTAD_OK || (device = 0);
}
