// The cloud in 3D: discs of points, or the faces of a mesh, then eye-dome lighting (Boucheny 2009), which darkens a pixel by how much nearer its
// neighbours are, so that shape shows without normals.

function bytes(base64) {
  return Uint8Array.from(atob(base64), c => c.charCodeAt(0));
}

const POINT_SHADER = `#version 300 es
layout(location = 0) in vec3 position;
layout(location = 1) in vec3 color;
layout(location = 2) in int label;
uniform mat4 view;
uniform vec2 focal;
uniform float diameter, pixels;
uniform int focus;
uniform vec3 faded;
out vec3 shade, place;
void main() {
  vec4 p = view * vec4(position * 2.0 - 1.0, 1.0);
  float z = -p.z;
  place = p.xyz;
  const float near = 0.05, far = 20.0;
  gl_Position = vec4(p.xy * focal, (z * (far + near) - 2.0 * far * near) / (far - near), z);
  gl_PointSize = max(1.5, diameter * focal.y * pixels / (2.0 * z));
  shade = focus == -2 || focus == label ? color : mix(color, faded, 0.88);
}`;
const DISC_SHADER = `#version 300 es
precision mediump float;
in vec3 shade;
out vec4 result;
void main() {
  vec2 d = gl_PointCoord - 0.5;
  if (dot(d, d) > 0.25) discard;
  result = vec4(shade, 1.0);
}`;
const FACE_SHADER = `#version 300 es
precision highp float;
in vec3 shade, place;
out vec4 result;
void main() {
  float facing = abs(normalize(cross(dFdx(place), dFdy(place))).z);
  result = vec4(shade * (0.65 + 0.35 * facing), 1.0);
}`;
const SCREEN_SHADER = `#version 300 es
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  gl_Position = vec4(corner * 4.0 - 1.0, 0.0, 1.0);
}`;
const LIGHT_SHADER = `#version 300 es
precision highp float;
uniform sampler2D colors;
uniform highp sampler2D depths;
uniform float reach;
out vec4 result;
float depth(ivec2 at) {
  float d = texelFetch(depths, clamp(at, ivec2(0), textureSize(depths, 0) - 1), 0).r;
  return d == 1.0 ? 1e3 : log2(0.05 * 20.0 / (20.0 - d * 19.95));
}
void main() {
  ivec2 at = ivec2(gl_FragCoord.xy);
  float here = depth(at), nearer = 0.0;
  if (here > 100.0) { result = vec4(0.0); return; }
  for (int i = 0; i < 8; i++) {
    float angle = float(i) * 0.785398;
    nearer += max(0.0, here - depth(at + ivec2(round(reach * vec2(cos(angle), sin(angle))))));
  }
  result = vec4(texelFetch(colors, at, 0).rgb * exp(-7.0 * min(nearer / 8.0, 0.2)), 1.0);
}`;

function createScene(canvas, points, mesh) {
  const gl = canvas.getContext("webgl2", { antialias: false, premultipliedAlpha: true });
  if (!gl) return null;
  const program = (vertex, fragment) => {
    const linked = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(linked, shader);
    }
    gl.linkProgram(linked);
    if (!gl.getProgramParameter(linked, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(linked));
    return linked;
  };
  const light = program(SCREEN_SHADER, LIGHT_SHADER);
  const buffer = content => {
    const made = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, made);
    gl.bufferData(gl.ARRAY_BUFFER, content, gl.STATIC_DRAW);
    return made;
  };
  // Of faces each corner has a place, and the label and the colour of its face.
  const kind = (things, fragment, mode, corners) => {
    const linked = program(POINT_SHADER, fragment), array = gl.createVertexArray();
    const each = (content, size) => {
      const all = new Uint8Array(content.length * corners);
      for (let i = 0; i < all.length / size; i++) {
        const from = Math.floor(i / corners) * size;
        all.set(content.subarray(from, from + size), i * size);
      }
      return all;
    };
    gl.bindVertexArray(array);
    buffer(bytes(things.positions));
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(0, 3, gl.UNSIGNED_SHORT, true, 6, 0);
    const labels = buffer(each(bytes(things.labels), 2));
    gl.enableVertexAttribArray(2);
    gl.vertexAttribIPointer(2, 1, gl.SHORT, 2, 0);
    const colors = {};
    for (const [name, content] of things.colors) colors[name] = buffer(each(bytes(content), 3));
    gl.enableVertexAttribArray(1);
    gl.bindVertexArray(null);
    const names = ["view", "focal", "diameter", "pixels", "focus", "faded"];
    const uniform = Object.fromEntries(names.map(name => [name, gl.getUniformLocation(linked, name)]));
    return { linked, array, labels, colors, uniform, mode, count: things.shown * corners };
  };
  const discs = kind(points, DISC_SHADER, gl.POINTS, 1);
  const faces = mesh && kind(mesh, FACE_SHADER, gl.TRIANGLES, 3);
  const modes = Object.keys(discs.colors);

  const texture = () => {
    const made = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, made);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    return made;
  };
  const target = gl.createFramebuffer(), colorMap = texture(), depthMap = texture();
  let width = 0, height = 0;
  const resize = ratio => {
    const w = Math.max(1, Math.round(canvas.clientWidth * ratio)), h = Math.max(1, Math.round(canvas.clientHeight * ratio));
    if (w === width && h === height) return;
    [width, height] = [canvas.width, canvas.height] = [w, h];
    gl.bindTexture(gl.TEXTURE_2D, colorMap);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, w, h, 0, gl.RGBA, gl.UNSIGNED_BYTE, null);
    gl.bindTexture(gl.TEXTURE_2D, depthMap);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.DEPTH_COMPONENT24, w, h, 0, gl.DEPTH_COMPONENT, gl.UNSIGNED_INT, null);
    gl.bindFramebuffer(gl.FRAMEBUFFER, target);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, colorMap, 0);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.DEPTH_ATTACHMENT, gl.TEXTURE_2D, depthMap, 0);
  };

  const START = { yaw: 0.55, pitch: 0.35, distance: 2.7 };
  const state = { ...START, mode: modes[0], focus: -2, size: 1, turning: !matchMedia("(prefers-reduced-motion: reduce)").matches };
  let waiting = false, last = 0;
  const paint = now => {
    waiting = false;
    if (state.turning) state.yaw += Math.min(now - last, 50) * 0.00025;
    last = now;
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    resize(ratio);
    gl.bindFramebuffer(gl.FRAMEBUFFER, target);
    gl.viewport(0, 0, width, height);
    gl.enable(gl.DEPTH_TEST);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    const { linked, array, colors, uniform, mode, count } = faces?.colors[state.mode] ? faces : discs;
    gl.useProgram(linked);
    gl.bindVertexArray(array);
    const [sy, cy, sp, cp] = [Math.sin(state.yaw), Math.cos(state.yaw), Math.sin(state.pitch), Math.cos(state.pitch)];
    gl.uniformMatrix4fv(uniform.view, false, [cy, sy * sp, -sy * cp, 0, 0, cp, sp, 0, sy, -cy * sp, cy * cp, 0, 0, 0, -state.distance, 1]);
    const focal = 2.4, narrow = Math.min(width, height);
    gl.uniform2f(uniform.focal, focal * narrow / width, focal * narrow / height);
    gl.uniform1f(uniform.diameter, state.size * Math.min(0.04, 3.8 / Math.sqrt(points.shown)));
    gl.uniform1f(uniform.pixels, height);
    gl.uniform1i(uniform.focus, state.focus);
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    gl.uniform3fv(uniform.faded, dark ? [0.22, 0.24, 0.27] : [0.84, 0.85, 0.87]);
    gl.bindBuffer(gl.ARRAY_BUFFER, colors[state.mode]);
    gl.vertexAttribPointer(1, 3, gl.UNSIGNED_BYTE, true, 3, 0);
    gl.drawArrays(mode, 0, count);
    gl.bindVertexArray(null);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.disable(gl.DEPTH_TEST);
    gl.useProgram(light);
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, colorMap);
    gl.activeTexture(gl.TEXTURE1);
    gl.bindTexture(gl.TEXTURE_2D, depthMap);
    gl.activeTexture(gl.TEXTURE0);
    gl.uniform1i(gl.getUniformLocation(light, "colors"), 0);
    gl.uniform1i(gl.getUniformLocation(light, "depths"), 1);
    gl.uniform1f(gl.getUniformLocation(light, "reach"), 1.4 * ratio);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    if (state.turning) request();
  };
  const request = () => {
    if (!waiting) requestAnimationFrame(paint);
    waiting = true;
  };
  const set = change => {
    Object.assign(state, change);
    state.pitch = Math.max(-1.5, Math.min(1.5, state.pitch));
    state.distance = Math.max(0.5, Math.min(8, state.distance));
    request();
  };
  // Other labels of the points, and their colours.
  const relabel = (labels, colors) => {
    for (const [to, content] of [[discs.labels, labels], [discs.colors.Parts, colors]]) {
      gl.bindBuffer(gl.ARRAY_BUFFER, to);
      gl.bufferData(gl.ARRAY_BUFFER, content, gl.DYNAMIC_DRAW);
    }
    request();
  };
  const turn = (x, y) => set({ yaw: state.yaw + x, pitch: state.pitch + y, turning: false });
  const zoom = factor => set({ distance: state.distance * factor, turning: false });

  const fingers = new Map();
  const spread = () => {
    const [a, b] = [...fingers.values()];
    return Math.hypot(a.x - b.x, a.y - b.y);
  };
  canvas.addEventListener("pointerdown", e => {
    canvas.setPointerCapture(e.pointerId);
    fingers.set(e.pointerId, { x: e.clientX, y: e.clientY });
  });
  canvas.addEventListener("pointermove", e => {
    const finger = fingers.get(e.pointerId);
    if (!finger) return;
    const before = fingers.size === 2 ? spread() : 0, [dx, dy] = [e.clientX - finger.x, e.clientY - finger.y];
    fingers.set(e.pointerId, { x: e.clientX, y: e.clientY });
    if (fingers.size === 2) zoom(before / Math.max(spread(), 1));
    else turn(dx * 0.008, dy * 0.008);
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, e => fingers.delete(e.pointerId));
  canvas.addEventListener("wheel", e => {
    if (document.activeElement !== canvas && !e.ctrlKey) return;
    e.preventDefault();
    zoom(Math.exp(e.deltaY * 0.001));
  }, { passive: false });
  canvas.addEventListener("dblclick", () => set(START));
  canvas.addEventListener("keydown", e => {
    const step = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] }[e.key];
    if (step) turn(...step);
    else if (e.key === "+" || e.key === "=") zoom(0.9);
    else if (e.key === "-") zoom(1 / 0.9);
    else return;
    e.preventDefault();
  });
  new ResizeObserver(request).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", request);
  request();
  return { set, relabel, modes };
}
