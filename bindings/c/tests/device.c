/* Segments what lies in a device's memory, on a stream of this program's, and finds what it finds on the host. */
#include <cuda.h>
#include <partstad.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIDE 24
#define ROWS (SIDE * SIDE * 2)
#define OPTIONS "{\"views\": {\"side\": 100, \"poses\": [{\"elevation\": 40, \"azimuth\": 0}]}}"
#define HOLDS(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "device.c:%d: not %s (%s)\n", __LINE__, #condition, partstad_last_error()); \
            exit(1); \
        } \
    } while (0)

static float positions[ROWS][3], colors[ROWS][3];

static CUdeviceptr upload(const void *values, size_t bytes, CUstream stream) {
    CUdeviceptr there;
    HOLDS(cuMemAlloc(&there, bytes) == CUDA_SUCCESS);
    HOLDS(cuMemcpyHtoDAsync(there, values, bytes, stream) == CUDA_SUCCESS);
    return there;
}

static partstad_array array(const void *data) {
    partstad_array made = {data, ROWS, PARTSTAD_F32};
    return made;
}

static partstad_result *lift(const partstad_pipeline *pipeline, const partstad_cloud *cloud) {
    static const partstad_box boxes[] = {{0, 0, 20, 15, 60, 30, 0.9f}, {0, 1, 20, 45, 60, 40, 0.8f}};
    static const char *const parts[] = {"top", "leg"};
    partstad_predictions predictions = {0};
    predictions.boxes = boxes, predictions.box_count = 2;
    partstad_result *result;
    HOLDS(partstad_lift(pipeline, cloud, parts, 2, &predictions, NULL, &result) == PARTSTAD_OK);
    return result;
}

int main(void) {
    for (int i = 0; i < ROWS; i++) {
        int upper = i / (SIDE * SIDE);
        positions[i][0] = (float)(i % SIDE) + 0.1f;
        positions[i][1] = (float)(upper * SIDE) / 2;
        positions[i][2] = (float)(i / SIDE % SIDE) / 3;
        colors[i][upper ? 0 : 2] = 0.8f;
    }
    partstad_device *device;
    HOLDS(partstad_device_on_stream(NULL, &device) == PARTSTAD_DEVICE && device == NULL);
    HOLDS(strstr(partstad_last_error(), "no CUDA context is current") != NULL);

    CUcontext context;
    CUstream stream;
    HOLDS(cuInit(0) == CUDA_SUCCESS && cuDevicePrimaryCtxRetain(&context, 0) == CUDA_SUCCESS);
    HOLDS(cuCtxSetCurrent(context) == CUDA_SUCCESS);
    HOLDS(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING) == CUDA_SUCCESS);
    CUdeviceptr xyz = upload(positions, sizeof positions, stream), rgb = upload(colors, sizeof colors, stream);

    partstad_pipeline *here, *there;
    partstad_cloud *on_host, *on_device;
    HOLDS(partstad_pipeline_new(NULL, OPTIONS, &here) == PARTSTAD_OK);
    HOLDS(partstad_device_on_stream(stream, &device) == PARTSTAD_OK);
    HOLDS(partstad_pipeline_new(device, OPTIONS, &there) == PARTSTAD_OK);
    HOLDS(partstad_cloud_from_host(here, array(positions), array(colors), &on_host) == PARTSTAD_OK);
    HOLDS(partstad_cloud_from_device(here, array((void *)xyz), array((void *)rgb), &on_device) == PARTSTAD_INVALID);
    HOLDS(partstad_cloud_from_device(there, array(NULL), array((void *)rgb), &on_device) == PARTSTAD_INVALID);
    HOLDS(partstad_cloud_from_device(there, array((void *)xyz), array((void *)rgb), &on_device) == PARTSTAD_OK);
    HOLDS(cuMemFree(xyz) == CUDA_SUCCESS && cuMemFree(rgb) == CUDA_SUCCESS);

    partstad_result *expected = lift(here, on_host), *found = lift(there, on_device);
    const int32_t *wanted[2], *shown[2], *resident[2];
    size_t rows;
    static int32_t fetched[2][ROWS];
    HOLDS(partstad_result_labels(expected, &wanted[0], &rows) == PARTSTAD_OK && rows == ROWS);
    HOLDS(partstad_result_instances(expected, &wanted[1], &rows) == PARTSTAD_OK && rows == ROWS);
    HOLDS(partstad_result_labels(found, &shown[0], &rows) == PARTSTAD_OK && rows == ROWS);
    HOLDS(partstad_result_instances(found, &shown[1], &rows) == PARTSTAD_OK && rows == ROWS);
    HOLDS(partstad_result_labels_on_device(expected, &resident[0], &rows) == PARTSTAD_INVALID);
    HOLDS(partstad_result_labels_on_device(found, &resident[0], &rows) == PARTSTAD_OK && rows == ROWS);
    HOLDS(partstad_result_instances_on_device(found, &resident[1], &rows) == PARTSTAD_OK && rows == ROWS);
    size_t labelled = 0;
    for (int which = 0; which < 2; which++) {
        HOLDS(cuMemcpyDtoHAsync(fetched[which], (CUdeviceptr)resident[which], sizeof fetched[which], stream) ==
              CUDA_SUCCESS);
        HOLDS(cuStreamSynchronize(stream) == CUDA_SUCCESS);
        HOLDS(memcmp(shown[which], wanted[which], sizeof fetched[which]) == 0);
        HOLDS(memcmp(fetched[which], wanted[which], sizeof fetched[which]) == 0);
    }
    for (int i = 0; i < ROWS; i++) {
        labelled += fetched[0][i] >= 0;
    }
    HOLDS(labelled > ROWS / 2);

    partstad_result_free(expected);
    partstad_result_free(found);
    partstad_cloud_free(on_host);
    partstad_cloud_free(on_device);
    partstad_pipeline_free(here);
    partstad_pipeline_free(there);
    partstad_device_free(device);
    HOLDS(cuStreamDestroy(stream) == CUDA_SUCCESS && cuDevicePrimaryCtxRelease(0) == CUDA_SUCCESS);
    printf("%zu of %d rows have a part, on the device as on the host\n", labelled, ROWS);
    return 0;
}
