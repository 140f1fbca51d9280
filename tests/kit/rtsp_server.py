"""A real RTSP server (GStreamer's) that serves one H.264 MP4 file. Run by the system's Python, which has its bindings.

    /usr/bin/python3 tests/kit/rtsp_server.py FILE PORT [USER PASSWORD]

Prints its port once it listens. Debian: apt install gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-good
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402


def main() -> None:
    """Serve until killed."""
    file, port, *login = sys.argv[1:]
    Gst.init(None)
    for part in ("qtdemux", "rtph264pay"):
        if Gst.ElementFactory.find(part) is None:
            raise SystemExit(f"GstRtspServer cannot do without {part}")
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(f'( filesrc location="{file}" ! qtdemux ! rtph264pay name=pay0 pt=96 )')
    if login:
        user, password = login
        auth = GstRtspServer.RTSPAuth()
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "viewer")
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
        server.set_auth(auth)
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_permission_for_role("viewer", "media.factory.access", True)
        permissions.add_permission_for_role("viewer", "media.factory.construct", True)
        factory.set_permissions(permissions)
    server.get_mount_points().add_factory("/scope", factory)
    if not server.attach(None):
        raise SystemExit(f"port {port} is taken")
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
